// Package srs rewrites the reverse-path of mail that is forwarded, so that the
// forwarding host vouches for it, and finds the original again when a
// notification comes back (the Sender Rewriting Scheme, as known from its paper
// of 2004 by Shevek). It does no input or output and asks no clock.
//
//	SRS0=hash=day=domain=local@ours      for local@domain
//	SRS1=hash=first=rest@ours            for SRS0rest@first, and SRS1=…=first=rest@other
//
// A second forwarder does not make the address longer and longer: what it writes
// leads to the first one, which knows the original.
package srs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strings"
	"time"

	"postrider/internal/mail"
)

const (
	// MaxAge is how old an address may be that is led back. Other hosts try for
	// five days, and some longer.
	MaxAge = 21 * 24 * time.Hour
	// KeySize is the length of a key, in octets.
	KeySize = 32
	// hashSize is the length of a hash, in characters of five bits. Whoever guesses
	// one may have a notification sent to one address.
	hashSize = 8
	// days is after how many days the two characters of a day begin anew.
	days = 32 * 32
)

// What an address can be refused for.
var (
	errForged   = errors.New("the address was not made here")
	errOld      = errors.New("the address is too old")
	ErrTooLong  = errors.New("the address would be too long")
	errNothing  = errors.New("the null reverse-path is not rewritten")
	errNoSyntax = errors.New("the address is not of this form")
)

// Scheme rewrites under one key.
type Scheme struct {
	key []byte
}

// New returns the scheme of a key of KeySize octets, which it keeps.
func New(key []byte) *Scheme { return &Scheme{key} }

// digits are characters of five bits that survive hosts that change their case.
const digits = "abcdefghijklmnopqrstuvwxyz234567"

var encoding = base32.NewEncoding(digits).WithPadding(base32.NoPadding)

// Is reports whether an address has the form of those that Forward makes.
func Is(a mail.Address) bool {
	_, _, ok := cutPrefix(a.Local)
	return ok
}

// cutPrefix takes "SRS0=" or "SRS1=" off. What other programs write as separator
// after it is known, too.
func cutPrefix(local string) (version byte, rest string, ok bool) {
	const n = len("SRS0=")
	if len(local) <= n || !strings.EqualFold(local[:n-2], "SRS") || !strings.ContainsRune("=+-", rune(local[n-1])) {
		return 0, "", false
	}
	version = local[n-2]
	return version, local[n:], version == '0' || version == '1'
}

// Forward returns the reverse-path, at one of our domains, for mail of from that
// is forwarded at now. ErrTooLong: there is no room for it in a local part of 64
// octets (RFC 5321 §4.5.3.1.1).
func (s *Scheme) Forward(from mail.Address, ours string, now time.Time) (mail.Address, error) {
	if from.IsZero() || from.Domain == "" {
		return mail.Address{}, errNothing
	}
	var local string
	switch version, rest, ok := cutPrefix(from.Local); {
	case ok && version == '0':
		local = s.second(from.Domain, from.Local[len("SRS0"):])
	case ok:
		_, first, inner, good := cutSecond(rest)
		if !good {
			local = s.first(from, now)
			break
		}
		local = s.second(first, inner)
	default:
		local = s.first(from, now)
	}
	a := mail.Address{Local: local, Domain: ours}
	if len(local) > mail.MaxLocal || len(local)+len(ours)+len("<@>") > mail.MaxPath {
		return mail.Address{}, ErrTooLong
	}
	return a, nil
}

// first is the local part for an address that nobody has rewritten before.
func (s *Scheme) first(from mail.Address, now time.Time) string {
	day := dayText(dayOf(now))
	return "SRS0=" + s.hash("0", day, from.Domain, from.Local) + "=" + day + "=" + from.Domain + "=" + from.Local
}

// second is the local part for one that another host has. Rest begins with that
// one's separator.
func (s *Scheme) second(first, rest string) string {
	return "SRS1=" + s.hash("1", first, rest) + "=" + first + "=" + rest
}

// cutSecond takes apart what follows "SRS1=".
func cutSecond(s string) (hash, first, rest string, ok bool) {
	hash, s, ok = strings.Cut(s, "=")
	if !ok || hash == "" {
		return "", "", "", false
	}
	first, rest, ok = strings.Cut(s, "=")
	if !ok || rest == "" || !strings.ContainsRune("=+-", rune(rest[0])) {
		return "", "", "", false
	}
	domain, err := mail.ParseDomain(first)
	return hash, domain, rest, err == nil
}

// Reverse returns the address that Forward was given, or for a second forwarder
// that of the first, if the address was made with this key and, as far as that
// can be told, not more than MaxAge before now.
func (s *Scheme) Reverse(a mail.Address, now time.Time) (mail.Address, error) {
	version, rest, ok := cutPrefix(a.Local)
	switch {
	case !ok:
		return mail.Address{}, errNoSyntax
	case version == '0':
		return s.reverseFirst(rest, now)
	}
	return s.reverseSecond(rest)
}

func (s *Scheme) reverseFirst(text string, now time.Time) (mail.Address, error) {
	parts := strings.SplitN(text, "=", 4)
	if len(parts) != 4 || len(parts[1]) != 2 {
		return mail.Address{}, errForged
	}
	hash, day, domain, local := parts[0], strings.ToLower(parts[1]), parts[2], parts[3]
	if !s.made(hash, "0", day, domain, local) {
		return mail.Address{}, errForged
	}
	made, ok := parseDay(day)
	age := (dayOf(now) - made + days) % days
	if !ok || age > int(MaxAge/(24*time.Hour)) && age != days-1 { // a clock may be a day behind
		return mail.Address{}, errOld
	}
	return address(local, domain)
}

func (s *Scheme) reverseSecond(text string) (mail.Address, error) {
	hash, first, rest, ok := cutSecond(text)
	if !ok || !s.made(hash, "1", first, rest) {
		return mail.Address{}, errForged
	}
	return address("SRS0"+rest, first)
}

// address joins an address again, which is parsed as any from outside is.
func address(local, domain string) (mail.Address, error) {
	name, err := mail.ParseDomain(domain)
	if err != nil {
		return mail.Address{}, errForged
	}
	a, err := mail.ParseAddress(mail.Address{Local: local, Domain: name}.String())
	if err != nil {
		return mail.Address{}, errForged
	}
	return a, nil
}

// hash is that of some parts, whose case hosts on the way may have changed.
func (s *Scheme) hash(parts ...string) string {
	mac := hmac.New(sha256.New, s.key)
	for _, p := range parts {
		mac.Write([]byte(strings.ToLower(p)))
		mac.Write([]byte{0})
	}
	return encoding.EncodeToString(mac.Sum(nil))[:hashSize]
}

// made reports whether a hash is that of the parts.
func (s *Scheme) made(hash string, parts ...string) bool {
	return hmac.Equal([]byte(strings.ToLower(hash)), []byte(s.hash(parts...)))
}

// dayOf counts days, up to days.
func dayOf(t time.Time) int {
	return int((t.Unix()/(24*60*60))%days+days) % days
}

func dayText(n int) string { return string([]byte{digits[n/32], digits[n%32]}) }

// parseDay reads what dayText wrote.
func parseDay(s string) (int, bool) {
	high, low := strings.IndexByte(digits, s[0]), strings.IndexByte(digits, s[1])
	return high*32 + low, high >= 0 && low >= 0
}
