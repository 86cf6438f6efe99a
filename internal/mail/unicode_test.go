package mail

import "testing"

// lastCased is behind the last plane that has letters with case or mappings.
const lastCased = 0x1ffff

// TestEveryCharacterHasOneCanonicalForm tries every character in a local part
// and in a domain, alone and with a combining mark behind it.
func TestEveryCharacterHasOneCanonicalForm(t *testing.T) {
	for r := rune(0x80); r <= lastCased; r++ {
		for _, mark := range []string{"", "\u0345", "\u0301"} {
			key := foldLocal(string(r) + mark)
			if again := foldLocal(key); again != key {
				t.Errorf("%U: key %q becomes %q", r, key, again)
			}
		}
		name, err := ParseDomain("a" + string(r) + "b.example")
		if err != nil {
			continue
		}
		if again, err := ParseDomain(name); err != nil || again != name {
			t.Errorf("%U: domain %q becomes %q, %v", r, name, again, err)
		}
	}
}
