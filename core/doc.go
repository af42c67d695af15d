// Package core is the tier that stands near the backends. It takes exchanges from
// the tunnels of edges, finds the route of each, and sends it to a backend of the
// route's pool.
//
//	edge ═tunnel═▶ tunnel server ▸ begin ▸ access log ▸ loop guard ▸ route ▸ forward
//	                                          backend pool (pick, try) ◀────────┘ ─▶ backend
//
// newPipeline in pipeline.go is the order of these steps. Routes and pools are an
// immutable snapshot that Reload replaces. A Server owns every goroutine of the
// tier; Run ends when its context does, after a drain.
package core
