"""The pinned CRDs, as package data: Gateway API v1.6.3 (standard channel) and Fairlead's own."""
