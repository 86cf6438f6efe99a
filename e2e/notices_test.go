//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// readNotice has Python's parser read notifications, strictly, and print what each
// is made of.
const readNotice = `
import email, email.policy, sys
for name in sys.argv[1:]:
    # It looks into message/global without decoding it, as RFC 6532 3.7 lets it be.
    policy = email.policy.default.clone(raise_on_defect="downgraded" not in name)
    with open(name, "rb") as f:
        m = email.message_from_binary_file(f, policy=policy)
    assert m.get_content_type() == "multipart/report", m.get_content_type()
    assert m.get_param("report-type") == "delivery-status"
    assert m["auto-submitted"] == "auto-replied" and m["date"].datetime and m["message-id"]
    assert m["from"].addresses[0].addr_spec == "MAILER-DAEMON@mail.example.org"
    parts = list(m.iter_parts())
    assert parts[0].get_content_type() == "text/plain" and "mail.example.org" in parts[0].get_content()
    status = parts[1]
    fields = status.get_payload()
    if status.get_content_type() == "message/delivery-status":
        assert fields[0]["reporting-mta"] == "dns; mail.example.org", fields[0].items()
        for r in fields[1:]:
            assert r["final-recipient"] and r["action"] and r["status"], r.items()
    print(m["subject"].split(" ")[0], *(p.get_content_type() for p in parts))
`

// TestPythonReadsNotifications holds the notifications of internal/dsn to a reader
// that is not ours.
func TestPythonReadsNotifications(t *testing.T) {
	files, err := filepath.Glob("../internal/dsn/testdata/*.eml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%v: %d notifications", err, len(files))
	}
	out := run(t, "", "python3", append([]string{"-c", readNotice}, files...)...)
	if lines := strings.Count(out, "\n"); lines != len(files) {
		t.Errorf("%d of %d were read:\n%s", lines, len(files), out)
	}
	for _, want := range []string{
		"Your text/plain message/delivery-status message/rfc822\n",
		"Your text/plain message/delivery-status text/rfc822-headers\n",
		"Your text/plain message/global-delivery-status message/global\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("none is %q:\n%s", want, out)
		}
	}
}
