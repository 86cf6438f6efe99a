package wire

import "unicode/utf8"

// Telnet makes octets of a telnet client (RFC 854) or of a bare terminal into
// what the person meant: option negotiations are answered in the negative and
// removed, and what was erased is gone. It is for commands typed on teach
// listeners, and never for content.
type Telnet struct {
	state telnetState
	verb  byte      // behind IAC: WILL, WONT, DO or DONT
	done  [2]bitset // options refused already: to WILL, to DO
}

type bitset [256 / 64]uint64

type telnetState uint8

const (
	telnetText   telnetState = iota
	telnetIAC                // behind IAC
	telnetOption             // behind IAC and a verb
	telnetSub                // in a subnegotiation
	telnetSubIAC             // in a subnegotiation, behind IAC
)

// The commands of RFC 854, "TELNET command structure".
const (
	telnetSE   = 240
	telnetEC   = 247 // erase character
	telnetEL   = 248 // erase line
	telnetSB   = 250
	telnetWill = 251
	telnetWont = 252
	telnetDo   = 253
	telnetDont = 254
	iac        = 255

	backspace = 8
	del       = 127
)

// Filter appends what src means to dst, whose octets behind the last line
// ending are the line being typed, and may shorten that line. Src may lie
// directly behind dst in the same buffer. Answer, nil in most cases, is to be
// sent to the peer; each option is answered once, however often it is asked for.
func (t *Telnet) Filter(dst, src []byte) (out, answer []byte) {
	for _, c := range src {
		switch t.state {
		case telnetText:
			dst = t.text(dst, c)
		case telnetIAC:
			dst = t.command(dst, c)
		case telnetOption:
			t.state = telnetText
			answer = t.refuse(answer, c)
		case telnetSub:
			if c == iac {
				t.state = telnetSubIAC
			}
		case telnetSubIAC:
			t.state = telnetSub
			if c == telnetSE {
				t.state = telnetText
			}
		}
	}
	return dst, answer
}

// text takes an octet outside of telnet's commands.
func (t *Telnet) text(dst []byte, c byte) []byte {
	switch c {
	case iac:
		t.state = telnetIAC
		return dst
	case backspace, del:
		return eraseChar(dst)
	}
	return append(dst, c)
}

// command takes the octet behind IAC.
func (t *Telnet) command(dst []byte, c byte) []byte {
	t.state = telnetText
	switch c {
	case iac:
		return append(dst, iac)
	case telnetWill, telnetWont, telnetDo, telnetDont:
		t.verb = c
		t.state = telnetOption
	case telnetSB:
		t.state = telnetSub
	case telnetEC:
		return eraseChar(dst)
	case telnetEL:
		for !atLineStart(dst) {
			dst = dst[:len(dst)-1]
		}
	}
	return dst
}

// refuse answers WILL with DONT and DO with WONT (RFC 1143 §2).
func (t *Telnet) refuse(answer []byte, option byte) []byte {
	asked, no := &t.done[0], byte(telnetDont)
	switch t.verb {
	case telnetDo:
		asked, no = &t.done[1], telnetWont
	case telnetWont, telnetDont:
		return answer
	}
	word, bit := option/64, uint64(1)<<(option%64)
	if asked[word]&bit != 0 {
		return answer
	}
	asked[word] |= bit
	return append(answer, iac, no, option)
}

// eraseChar takes the last character off the line being typed.
func eraseChar(dst []byte) []byte {
	if atLineStart(dst) {
		return dst
	}
	_, size := utf8.DecodeLastRune(dst)
	return dst[:len(dst)-size]
}

// atLineStart reports whether dst ends in a line ending, as a Splitter with
// Teach sees them; a CR that may become one counts.
func atLineStart(dst []byte) bool {
	n := len(dst)
	if n == 0 {
		return true
	}
	switch dst[n-1] {
	case '\n', '\r':
		return true
	case 0:
		return n > 1 && dst[n-2] == '\r'
	}
	return false
}
