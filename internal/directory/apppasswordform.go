package directory

import (
	"crypto/rand"
	"strings"
)

// An app password is appLetters of an alphabet that has no look-alikes (no i, l,
// o, 0 and 1), about 119 random bits, shown in groups of four with hyphens
// between. What a person types may have them or not, in any case.
const (
	appAlphabet = "abcdefghjkmnpqrstuvwxyz23456789"
	appLetters  = 24
	appGroup    = 4
	maxAppTyped = 4 * appLetters // octets, with hyphens and spaces
)

// newAppPassword returns the letters of a new app password.
func newAppPassword() string {
	// Octets beyond the last multiple of the alphabet's size would make the first
	// letters likelier.
	const fair = 256 - 256%len(appAlphabet)
	letters := make([]byte, 0, appLetters)
	for len(letters) < appLetters {
		var random [2 * appLetters]byte
		rand.Read(random[:]) // never fails (crypto/rand)
		for _, b := range random {
			if int(b) < fair && len(letters) < appLetters {
				letters = append(letters, appAlphabet[int(b)%len(appAlphabet)])
			}
		}
	}
	return string(letters)
}

// showAppPassword returns letters as they are shown, in groups.
func showAppPassword(letters string) string {
	var groups []string
	for len(letters) > appGroup {
		groups = append(groups, letters[:appGroup])
		letters = letters[appGroup:]
	}
	return strings.Join(append(groups, letters), "-")
}

// readAppPassword returns the letters of what was typed, and whether it can be
// an app password at all.
func readAppPassword(typed string) (letters string, ok bool) {
	if len(typed) > maxAppTyped {
		return "", false
	}
	b := make([]byte, 0, maxAppTyped)
	for i := 0; i < len(typed); i++ {
		c := typed[i]
		if c == '-' || c == ' ' {
			continue
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if strings.IndexByte(appAlphabet, c) < 0 {
			return "", false
		}
		b = append(b, c)
	}
	return string(b), len(b) == appLetters
}
