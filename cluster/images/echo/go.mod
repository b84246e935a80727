module fairlead.dev/cluster/echo

go 1.26.0
