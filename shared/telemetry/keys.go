package telemetry

// Keys of log lines and labels of metrics. The same word means the same thing
// in both, in the tunnel and in Proxy-Status. Lines and metrics use no key that
// is not listed here.
const (
	// Who writes.
	KeyTier    = "tier"    // "edge" or "core"
	KeyName    = "name"    // name of the tier, from its config
	KeyVersion = "version" // version of the binary
	KeyListen  = "listen"  // address of a listener
	KeyConfig  = "config"  // path of the config file
	KeyFile    = "file"    // path of any other file
	KeyExpires = "expires" // when a certificate expires
	KeyReason  = "reason"  // why, in words from a closed list

	// Which exchange.
	KeyExchange    = "exchange"     // request id, the same in both tiers
	KeyAttempt     = "attempt"      // which try, from 0
	KeyTrace       = "trace"        // W3C trace id
	KeyClient      = "client"       // address of the client
	KeyPeer        = "peer"         // the other end of the connection
	KeyPrincipal   = "principal"    // who auth says the client is
	KeyIssuer      = "issuer"       // who vouches for the principal
	KeyMethod      = "method"       // HTTP method
	KeyScheme      = "scheme"       // "http" or "https"
	KeyHost        = "host"         // authority asked for
	KeyPath        = "path"         // path asked for, without the query
	KeyProto       = "proto"        // "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"
	KeyTLS         = "tls"          // TLS version
	KeyUserAgent   = "user_agent"   // as the client sent it
	KeyStatus      = "status"       // HTTP status
	KeyStatusClass = "status_class" // "2xx", ...
	KeyBytesIn     = "bytes_in"     // body bytes from the client
	KeyBytesOut    = "bytes_out"    // body bytes to the client

	// Where it went.
	KeyRoute       = "route"        // name of the matching route
	KeyCore        = "core"         // name of a core
	KeyEdge        = "edge"         // name of an edge
	KeyBackend     = "backend"      // host:port of a backend
	KeyPool        = "pool"         // name of a pool of backends
	KeyCarrier     = "carrier"      // "quic" or "tcp"
	KeyAddress     = "address"      // any other address
	KeyConnections = "connections"  // a number of connections
	KeyLanes       = "lanes"        // a number of lanes
	KeyState       = "state"        // "up", "down" or "draining"
	KeyProxyStatus = "proxy_status" // reason in the words of RFC 9209
	KeyDetail      = "detail"       // operation and cause of a failure
	KeyCache       = "cache"        // cache verdict in the words of RFC 9211
	KeyDirection   = "direction"    // "in" or "out"

	// How long it took, in milliseconds.
	KeyDuration  = "dur_ms"
	KeyQueue     = "queue_ms"
	KeyConnect   = "connect_ms"
	KeyFirstByte = "first_byte_ms"
	KeyRetryIn   = "retry_in_ms"

	// What the logging library writes by itself.
	KeyTime    = "time"
	KeyLevel   = "level"
	KeyMessage = "message"
	KeyError   = "error"
)
