package dkim

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

// tags are a tag list (RFC 6376 §3.2).
type tags map[string]string

var (
	errTags     = errors.New("it is no list of tags")
	errTwice    = errors.New("a tag stands in it twice")
	errTooLong  = errors.New("it is too long")
	errTooMany  = errors.New("it has too many tags")
	errNoTag    = errors.New("a tag that it needs is missing")
	errNumber   = errors.New("a number in it is none")
	errBase64   = errors.New("its base64 is broken")
	errVersion  = errors.New("its version is unknown")
	errIdentity = errors.New("its identity is not of its domain")
)

// parseTags reads a tag list. Values are without the white space around them; that
// within them stays.
func parseTags(s string) (tags, error) {
	if len(s) > maxField {
		return nil, errTooLong
	}
	t := tags{}
	for s != "" {
		var spec string
		spec, s, _ = strings.Cut(s, ";")
		if trim(spec) == "" {
			if s == "" && len(t) > 0 {
				break // the last ";" is optional
			}
			return nil, errTags
		}
		name, value, ok := strings.Cut(spec, "=")
		if name = trim(name); !ok || !isTagName(name) {
			return nil, errTags
		}
		if _, twice := t[name]; twice {
			return nil, errTwice
		}
		if len(t) == maxTags {
			return nil, errTooMany
		}
		t[name] = trim(value)
	}
	return t, nil
}

const blanks = " \t\r\n"

func trim(s string) string { return strings.Trim(s, blanks) }

// bare returns s without any white space, which is allowed wherever a value may be
// folded.
func bare(s string) string {
	if !strings.ContainsAny(s, blanks) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(blanks, r) {
			return -1
		}
		return r
	}, s)
}

func isTagName(s string) bool {
	for i, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

// list returns a value that is a list with colons.
func (t tags) list(name string) []string {
	v, ok := t[name]
	if !ok {
		return nil
	}
	all := strings.Split(v, ":")
	for i := range all {
		all[i] = trim(all[i])
	}
	return all
}

// base64 returns a value's octets.
func (t tags) base64(name string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(bare(t[name]))
	if err != nil {
		return nil, errBase64
	}
	return b, nil
}

// seconds returns a time (t=, x=), and whether it is there. It has 12 digits at
// most (RFC 6376 §3.5).
func (t tags) seconds(name string) (n int64, there bool, err error) {
	v, ok := t[name]
	if !ok {
		return 0, false, nil
	}
	u, err := strconv.ParseUint(v, 10, 40)
	if err != nil || len(v) > 12 {
		return 0, true, errNumber
	}
	return int64(u), true, nil
}
