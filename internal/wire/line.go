// Package wire has the byte codecs that line protocols share: lines, dots,
// replies, and the ways of telnet. It does no input or output of its own.
package wire

import "errors"

// Line is one line as it came from the wire.
type Line struct {
	// Bytes is the line without its ending. Of a line that is too long it is
	// the first part. Valid until the next line is asked for.
	Bytes []byte
	// Flaws is what was wrong with it; see Flaw for who may ignore what.
	Flaws Flaw
}

// Flaw is a set of things that are wrong with a line's framing.
type Flaw uint8

// The flaws. A strict listener's session must not execute a line with a flaw.
// On a teach listener BareLF and BareCR may be ignored: there a LF alone ends a
// line, and Bytes has no trace of it.
const (
	// TooLong: longer than the limit. The rest of the line was dropped.
	TooLong Flaw = 1 << iota
	// BareLF: a LF without CR before it, within the line or (on a teach
	// listener) at its end.
	BareLF
	// BareCR: a CR without LF after it.
	BareCR
	// Early: it had come before that was sent which it should answer. Only a client's
	// driver tells of it.
	Early
)

// Limits of lines, in octets with the CRLF.
const (
	// MaxLine is the default limit of a command line. RFC 5321 §4.5.3.1.4 asks
	// for 512 and more for extensions; this covers every extension we announce.
	MaxLine = 2048
	// MaxSkip is how much of a line that has no end is swallowed before the
	// connection is given up.
	MaxSkip = 2 << 20
)

// What can be wrong with content. RFC 5321 §2.3.8: CR and LF occur only
// together; software that is lenient about it can be made to see one message
// as two.
var (
	ErrBareCR = errors.New("carriage return without line feed in the message")
	ErrBareLF = errors.New("line feed without carriage return in the message")
)
