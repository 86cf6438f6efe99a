package tlspolicy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"postrider/internal/mail"
)

// Mode is what a policy of MTA-STS wants (RFC 8461 §5).
type Mode string

// The modes.
const (
	ModeEnforce Mode = "enforce"
	ModeTesting Mode = "testing"
	ModeNone    Mode = "none"
)

// Limits of policies.
const (
	maxPolicy        = 64 << 10 // octets of a policy's file
	maxAge           = 31557600 // seconds, RFC 8461 §3.2
	maxPolicyStrings = 100      // lines of a policy that a report repeats
	stsVersion       = "STSv1"
	stsPrefix        = "mta-sts/"
)

// STSPolicy is a domain's policy (RFC 8461 §3.2).
type STSPolicy struct {
	Mode   Mode
	MX     []string // lower case; "*." before a name stands for one label
	MaxAge time.Duration
}

// ParseSTSPolicy reads the file of a policy. Lines end with CRLF or LF. The error
// has nothing of the file in it.
func ParseSTSPolicy(text string) (STSPolicy, error) {
	if len(text) > maxPolicy {
		return STSPolicy{}, fmt.Errorf("the policy is longer than %d octets", maxPolicy)
	}
	var p STSPolicy
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return STSPolicy{}, errors.New("the policy has a line that is no key and value")
		}
		value = strings.Trim(value, " \t")
		if seen[key] && key != "mx" { // RFC 8461 §3.2: the first counts
			continue
		}
		seen[key] = true
		if err := p.set(key, value); err != nil {
			return STSPolicy{}, err
		}
	}
	switch {
	case !seen["version"] || !seen["mode"] || !seen["max_age"]:
		return STSPolicy{}, errors.New("the policy lacks version, mode or max_age")
	case len(p.MX) == 0 && p.Mode != ModeNone:
		return STSPolicy{}, errors.New("the policy names no mx")
	}
	return p, nil
}

// set takes one line. Keys that nobody knows are for others.
func (p *STSPolicy) set(key, value string) error {
	switch key {
	case "version":
		if value != stsVersion {
			return errors.New("the policy is of another version")
		}
	case "mode":
		p.Mode = Mode(value)
		if p.Mode != ModeEnforce && p.Mode != ModeTesting && p.Mode != ModeNone {
			return errors.New("the policy's mode is none that is known")
		}
	case "max_age":
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || len(value) > 10 {
			return errors.New("the policy's max_age is no number of seconds")
		}
		p.MaxAge = time.Duration(min(n, maxAge)) * time.Second
	case "mx":
		host, wild := strings.CutPrefix(value, "*.")
		name, err := mail.ParseDomain(host)
		if err != nil || strings.HasPrefix(name, "[") {
			return errors.New("the policy has an mx that is no name of a host")
		}
		if wild {
			name = "*." + name
		}
		p.MX = append(p.MX, name)
	}
	return nil
}

// Matches reports whether the policy lists a host (RFC 8461 §4.1).
func (p *STSPolicy) Matches(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	_, parent, _ := strings.Cut(host, ".")
	for _, pattern := range p.MX {
		below, wild := strings.CutPrefix(pattern, "*.")
		if wild && parent == below || !wild && host == pattern {
			return true
		}
	}
	return false
}

// lines writes the policy as its file has it, without line ends.
func (p *STSPolicy) lines() []string {
	all := []string{"version: " + stsVersion, "mode: " + string(p.Mode)}
	for _, mx := range p.MX {
		all = append(all, "mx: "+mx)
	}
	return append(all, "max_age: "+strconv.FormatInt(int64(p.MaxAge/time.Second), 10))
}

// stsID returns the id that a domain's TXT record gives its policy, "" if it has
// none (RFC 8461 §3.1).
func stsID(all []field) string {
	id := value(all, "id")
	if id == "" || len(id) > 32 || strings.ContainsFunc(id, notAlphanumeric) {
		return ""
	}
	return id
}

func notAlphanumeric(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}
