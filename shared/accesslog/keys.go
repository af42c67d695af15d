package accesslog

// The keys of a line, in the order in which they stand. Those marked with * are
// in every line of an exchange, the others only when there is something to say.
const (
	KeyTime            = "time"             // * when the request came, UTC, RFC 3339 with milliseconds
	KeyLevel           = "level"            // * "info", or "warn" when a tier failed or cut the response
	KeyExchange        = "exchange"         // * the id that the client got as X-Request-Id
	KeyAttempt         = "attempt"          // the last try of the edge, when it was not the first (0)
	KeyClient          = "client"           // * address of the client, behind any trusted proxy
	KeyPeer            = "peer"             // address and port of the connection's other end, when it is another
	KeyMethod          = "method"           // *
	KeyScheme          = "scheme"           // * "http" or "https"
	KeyHost            = "host"             // *
	KeyPath            = "path"             // * as it was sent, percent-encoded
	KeyQuery           = "query"            // when configured, with secrets replaced
	KeyProto           = "proto"            // * "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"
	KeyTLS             = "tls"              // version
	KeyEarlyData       = "early_data"       // true when the request came in TLS early data
	KeyStatus          = "status"           // * of the final response; 0: none was sent
	KeyBytesIn         = "bytes_in"         // * body bytes that were read from the client
	KeyBytesOut        = "bytes_out"        // * body bytes that were written to the client
	KeyDuration        = "dur_ms"           // * from the start to the end of the handler
	KeyFirstByte       = "first_byte_ms"    // from the start to the response head
	KeyPrincipal       = "principal"        // subject that auth found
	KeyUserAgent       = "user_agent"       // at most 256 bytes
	KeyReferer         = "referer"          // without query; at most 256 bytes
	KeyTrace           = "trace"            // trace id of the W3C trace context
	KeyCore            = "core"             // name of the core that the last attempt went to
	KeyCarrier         = "carrier"          // "quic" or "tcp"
	KeyRoute           = "route"            // as the core says
	KeyBackend         = "backend"          // as the core says: host:port
	KeyCoreDuration    = "core_dur_ms"      // as the core says
	KeyBackendAttempts = "backend_attempts" // as the core says, when there was more than one
	KeyProxyStatus     = "proxy_status"     // the reason in the words of RFC 9209, when a tier failed or refused
	KeyAborted         = "aborted"          // who cut the exchange short: "client", "edge" or "core"
	KeyDetail          = "detail"           // operation and cause; at most 512 bytes
)

// Keys returns all keys in the order in which they stand in a line.
func Keys() []string {
	return []string{
		KeyTime, KeyLevel, KeyExchange, KeyAttempt, KeyClient, KeyPeer, KeyMethod, KeyScheme, KeyHost, KeyPath, KeyQuery,
		KeyProto, KeyTLS, KeyEarlyData, KeyStatus, KeyBytesIn, KeyBytesOut, KeyDuration, KeyFirstByte, KeyPrincipal,
		KeyUserAgent, KeyReferer, KeyTrace, KeyCore, KeyCarrier, KeyRoute, KeyBackend, KeyCoreDuration,
		KeyBackendAttempts, KeyProxyStatus, KeyAborted, KeyDetail,
	}
}
