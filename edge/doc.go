// Package edge is the tier that stands near the users. It terminates TLS and
// HTTP/1.1, 2 and 3, decides whether a request may pass, and sends it through a
// tunnel to one of several cores.
//
//	client ─H1/H2/H3─▶ listener ▸ begin ▸ access log ▸ filter ▸ auth ▸ forward
//	                                      core pool (pick, try) ◀──────────┘
//	                                      tunnel client: one lane per exchange ─▶ core
//
// newChain in chain.go is the order of these steps. A Server owns every
// goroutine of the tier; Run ends when its context does, after a drain.
package edge
