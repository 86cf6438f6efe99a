// Package message reads and writes the header of a message (RFC 5322): it
// watches a header go by as the content streams in, and writes the trace fields
// that a server puts on top.
package message
