package dkim

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/internal/mail"
	"postrider/internal/message"
)

// eightBit is a message that a host of seven bits can't have as it is.
const eightBit = "From: Alice <alice@example.org>\r\nTo: bob@hop.example\r\nSubject: hello\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n"

// forwarding is a site that forwards what comes for hop.example.
type forwarding struct {
	*site
	sealer  *Sealer
	lookups int
}

func newForwarding(t *testing.T) *forwarding {
	f := &forwarding{site: newSite(t)}
	f.signing("hop.example")
	v := f.verifier()
	v.TXT = func(ctx context.Context, name string) ([]string, error) {
		f.lookups++
		return f.dns.txt(ctx, name)
	}
	f.sealer = NewSealer(f.keys, v, "mail.hop.example", Settings{Now: f.clock()})
	return f
}

// stored is a message as this server keeps it: below what it has put on top.
func (f *forwarding) stored(id mail.ID, arrived string) string {
	top := message.AppendDeliveredTo(nil, mail.Address{Local: "bob", Domain: "hop.example"})
	top = message.Received{Helo: "x", Remote: netip.MustParseAddr("192.0.2.1"), By: "mail.hop.example", With: "ESMTP", ID: id, Time: f.now}.AppendTo(top)
	return string(top) + arrived
}

// sevenBit is a message in the form for hosts of seven bits.
func (f *forwarding) sevenBit(m string) string {
	f.t.Helper()
	var b bytes.Buffer
	if err := message.Lines(&b, strings.NewReader(m), int64(len(m)), false); err != nil || b.String() == m {
		f.t.Fatalf("%v, %q", err, b.String())
	}
	return b.String()
}

// forward returns what is sent, and the results in the set on top of it.
func (f *forwarding) forward(m Forward) (sent, results string) {
	f.t.Helper()
	fields, err := f.sealer.Seal(f.t.Context(), "hop.example", m)
	if err != nil {
		f.t.Fatal(err)
	}
	source := m.Stored
	if m.Converted != nil {
		source = m.Converted
	}
	b := make([]byte, source.Size())
	if _, err := source.ReadAt(b, 0); err != nil {
		f.t.Fatal(err)
	}
	for _, field := range parseHeader(append(fields, "\r\n"...)).fields {
		if field.Is(fieldAAR) {
			results = string(field.Value())
		}
	}
	return string(fields) + string(b), results
}

func TestWhatIsConvertedIsVerifiedAsItCame(t *testing.T) {
	for sets := range 3 {
		t.Run(fmt.Sprintf("%d sets", sets), func(t *testing.T) {
			f := newForwarding(t)
			f.signing("example.org")
			arrived := f.sign("example.org", eightBit)
			for i := range sets {
				domain := fmt.Sprintf("hop%d.example", i+1)
				f.signing(domain)
				arrived = f.seal(domain, "mail."+domain, arrived)
			}
			id := mail.NewID(f.now)
			stored := f.stored(id, arrived)
			sent, results := f.forward(Forward{ID: id, Stored: strings.NewReader(stored), Converted: strings.NewReader(f.sevenBit(stored))})
			chain := "arc=" + map[bool]string{false: ChainNone, true: ChainPass}[sets > 0]
			if strings.Count(results, "dkim=pass") != 2 || !strings.Contains(results, chain) {
				t.Errorf("the results are %q, want dkim=pass twice and %s", results, chain)
			}
			if got, want := f.chain(sent), (Chain{Status: ChainPass, Sets: sets + 1}); got != want {
				t.Errorf("the next host finds %+v, want %+v\n%s", got, want, sent)
			}
		})
	}
}

// A signature may say that there was no Delivered-To, and no Received but one.
func TestWhatThisServerPutsOnTopBreaksNoSignature(t *testing.T) {
	f := newForwarding(t)
	f.signing("example.org")
	keys, err := f.keys.signers(t.Context(), "example.org")
	if err != nil {
		t.Fatal(err)
	}
	header, body, err := open(strings.NewReader(letter))
	if err != nil {
		t.Fatal(err)
	}
	body.want(relaxed)
	if err := body.hash(t.Context()); err != nil {
		t.Fatal(err)
	}
	names := []string{"From", "Delivered-To", "Received", "Received"}
	var before []byte
	for _, field := range header.pick(names) {
		before = relaxed.header(before, field)
	}
	field, err := f.signer().draft(keys[0], names, body.sums[relaxed]).sign(keys[0].signer, before)
	if err != nil {
		t.Fatal(err)
	}
	id := mail.NewID(f.now)
	stored := f.stored(id, string(field)+letter)
	if _, results := f.forward(Forward{ID: id, Stored: strings.NewReader(stored)}); !strings.Contains(results, "dkim=pass") {
		t.Errorf("the results are %q", results)
	}
	forged := strings.Replace(stored, string(field), string(field)+"Delivered-To: x\r\n", 1)
	if _, results := f.forward(Forward{ID: mail.NewID(f.now), Stored: strings.NewReader(forged)}); !strings.Contains(results, "dkim=fail") {
		t.Errorf("with a field added on its way, the results are %q", results)
	}
}

func TestAMessageIsVerifiedOnceForAllThatItGoesTo(t *testing.T) {
	f := newForwarding(t)
	m := hops(f.site, 2)
	id := mail.NewID(f.now)
	seal := func(id mail.ID) {
		f.forward(Forward{ID: id, Stored: strings.NewReader(f.stored(id, m))})
	}
	seal(id)
	once := f.lookups // of two signatures' keys, and one a hop
	if once != 4 {
		t.Errorf("%d names were looked up, want 4", once)
	}
	seal(id)
	if f.lookups != once {
		t.Errorf("%d look-ups, want no more than the first time", f.lookups)
	}
	seal(mail.NewID(f.now))
	if f.lookups != 2*once {
		t.Errorf("%d look-ups, want another message looked at by itself", f.lookups)
	}
	f.now = f.now.Add(findingLife)
	seal(id)
	if f.lookups != 3*once {
		t.Errorf("%d look-ups, want new ones after a while", f.lookups)
	}
}

func TestASignatureThatExpiresInTheQueueWasGood(t *testing.T) {
	f := newForwarding(t)
	f.signing("example.org")
	fields, err := NewSigner(f.keys, Settings{Now: f.clock(), Expire: time.Hour}).
		Sign(t.Context(), "example.org", strings.NewReader(letter), int64(len(letter)))
	if err != nil {
		t.Fatal(err)
	}
	stored := strings.NewReader(string(fields) + letter)
	came := f.now
	f.now = f.now.Add(2 * time.Hour)
	if _, results := f.forward(Forward{Came: came, Stored: stored}); !strings.Contains(results, "dkim=pass") {
		t.Errorf("the results are %q", results)
	}
	if _, results := f.forward(Forward{Came: f.now, Stored: stored}); !strings.Contains(results, "dkim=fail") {
		t.Errorf("expired when it came: the results are %q", results)
	}
}
