package pop3

import (
	"path/filepath"
	"testing"

	"postrider/internal/dialogue"
	"postrider/internal/mail"
)

// TestDialogues runs the dialogues that need nothing but POP3.
func TestDialogues(t *testing.T) {
	files, err := filepath.Glob("../../testdata/dialogues/pop3-*.dialogue")
	if err != nil || len(files) == 0 {
		t.Fatalf("got files %v, error %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			d, err := dialogue.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			b := newFake()
			for i, m := range d.Given {
				b.add(m.To, fakeMessage{uid: mail.UID(i + 1), content: string(m.Content)})
			}
			open := func(c dialogue.Connection) (dialogue.Transport, error) {
				return dialogue.NewMemory(New(b, b, nil), newConn(c.Teach)), nil
			}
			vars := map[string]string{"alice-password": fakePassword}
			if err := d.Run(dialogue.Setup{Open: open, Vars: vars}); err != nil {
				t.Error(err)
			}
		})
	}
}
