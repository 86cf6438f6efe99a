// Package message reads and writes the header of a message (RFC 5322): it
// watches a header go by as the content streams in, and writes the trace fields
// that a server puts on top. And it brings a message into the form that the next
// host takes: lines that are not too long, of ASCII if need be (RFC 2045).
package message
