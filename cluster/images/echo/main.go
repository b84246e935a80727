// Echo is the Pod of the tests: it says which Pod answered and remembers what it executed.
//
//	/            any method: "host=POD method=METHOD path=PATH body=BYTES"; ?delay=100ms answers later
//	/ready       the readiness probe: 200, or 503 after /flip
//	/flip        turns readiness over
//	/executions  how often each request id was executed, as JSON; ?id=ID for one, as a number
//
// A request that carries x-test-id counts as executed when its body has arrived. With RECORD=DIR in the
// environment the id is also appended to DIR/POD, so that it outlives the Pod.
//
// After SIGTERM the Pod goes on serving for DRAIN (default 2s), then finishes open requests and ends.
// DRAIN=0s ends at once, with whatever was open.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const idHeader = "x-test-id"

// record counts executions by request id. Ids are few enough to be kept for the life of a test.
type record struct {
	mu     sync.Mutex
	counts map[string]int
	file   *os.File
}

func newRecord(dir, host string) (*record, error) {
	r := &record{counts: map[string]int{}}
	if dir == "" {
		return r, nil
	}
	file, err := os.OpenFile(filepath.Join(dir, host), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	r.file = file
	return r, err
}

func (r *record) add(id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[id]++
	if r.file == nil {
		return nil
	}
	_, err := r.file.WriteString(id + "\n")
	return err
}

func (r *record) answer(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.URL.Query().Has("id") {
		fmt.Fprintln(w, r.counts[req.URL.Query().Get("id")])
		return
	}
	w.Header().Set("content-type", "application/json")
	_ = json.NewEncoder(w).Encode(r.counts)
}

type server struct {
	host   string
	ready  atomic.Bool
	record *record
}

func (s *server) echo(w http.ResponseWriter, req *http.Request) {
	size, err := io.Copy(io.Discard, req.Body)
	if err != nil {
		http.Error(w, "the body ended early: "+err.Error(), http.StatusBadRequest)
		return
	}
	if id := req.Header.Get(idHeader); id != "" {
		if err := s.record.add(id); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	if delay, err := time.ParseDuration(req.URL.Query().Get("delay")); err == nil {
		time.Sleep(delay)
	}
	fmt.Fprintf(w, "host=%s method=%s path=%s body=%d\n", s.host, req.Method, req.URL.Path, size)
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", s.echo)
	mux.HandleFunc("/executions", s.record.answer)
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if !s.ready.Load() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("/flip", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ready:", s.flip())
	})
	return mux
}

func (s *server) flip() bool {
	for {
		before := s.ready.Load()
		if s.ready.CompareAndSwap(before, !before) {
			return !before
		}
	}
}

// drainTime reads DRAIN; what cannot be read is an error, since a test would draw the wrong conclusion.
func drainTime() (time.Duration, error) {
	text, set := os.LookupEnv("DRAIN")
	if !set {
		return 2 * time.Second, nil
	}
	return time.ParseDuration(text)
}

func run() error {
	drain, err := drainTime()
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	record, err := newRecord(os.Getenv("RECORD"), host)
	if err != nil {
		return err
	}
	s := &server{host: host, record: record}
	s.ready.Store(true)
	web := &http.Server{Addr: ":8080", Handler: s.routes()}

	ended := make(chan error, 1)
	go func() {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
		<-signals
		if drain == 0 {
			os.Exit(0)
		}
		log.Print("draining for ", drain)
		time.Sleep(drain)
		ended <- web.Shutdown(context.Background())
	}()
	log.Print(host, " listens on ", web.Addr)
	if err := web.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}
