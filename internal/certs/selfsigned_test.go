package certs

import (
	"context"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/fault"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

func TestSelfSignedCertificateLastsOverRestarts(t *testing.T) {
	records, j := storetest.NewModel(), newJournal()
	o := Options{Names: []string{"Mail.example.org"}, SelfSigned: true, Records: records, Logger: j.logger()}
	first := newManager(t, o).List()
	second := newManager(t, o).List()
	if len(first) != 1 || len(second) != 1 || first[0].SHA256 != second[0].SHA256 {
		t.Fatalf("got %+v, then %+v, want one and the same", first, second)
	}
	i := first[0]
	if !i.SelfSigned || i.Source != SourceSelfSigned || !i.Default || len(i.Problems) == 0 {
		t.Errorf("got %+v, want a self-signed default with a problem", i)
	}
	if want := []string{"mail.example.org", "localhost", "127.0.0.1", "::1"}; !slices.Equal(i.Names, want) {
		t.Errorf("names: got %q, want %q", i.Names, want)
	}
	if got := j.count("level=WARN"); got != 2 || j.count(i.SHA256) != 2 {
		t.Errorf("got %d warnings, want one a start with the fingerprint:\n%s", got, j)
	}
	if j.count("made_now=true") != 1 || j.count("made_now=false") != 1 {
		t.Errorf("the log doesn't tell the start that made it from the other:\n%s", j)
	}
}

func TestSelfSignedCertificateIsGoodForItsNames(t *testing.T) {
	leaf := served(t, newManager(t, Options{Names: []string{"mail.example.org"}, SelfSigned: true}), "")
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	for _, name := range []string{"mail.example.org", "localhost", "127.0.0.1", "::1"} {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if leaf.IsCA || leaf.SerialNumber.BitLen() < 64 {
		t.Errorf("got CA %v and a serial number of %d bits, want false and 64 or more", leaf.IsCA, leaf.SerialNumber.BitLen())
	}
	if life := leaf.NotAfter.Sub(leaf.NotBefore); life != leafLife+skew {
		t.Errorf("got a life of %v, want %v", life, leafLife+skew)
	}
}

func TestSelfSignedCertificateIsRenewedAtTwoThirdsOfItsLife(t *testing.T) {
	now, j := newClock(), newJournal()
	m := newManager(t, Options{Names: []string{"mail.example.org"}, SelfSigned: true, Now: now.now, Logger: j.logger()})
	ctx := context.Background()
	first := m.List()[0]
	now.add(leafLife/3*2 - 2*skew)
	m.tend(ctx)
	if got := m.List()[0].SHA256; got != first.SHA256 {
		t.Error("renewed before its time")
	}
	now.add(2 * skew)
	m.tend(ctx)
	second := m.List()[0]
	if second.SHA256 == first.SHA256 || second.NotAfter.Before(first.NotAfter) {
		t.Errorf("got %+v, want one that is newer than %+v", second, first)
	}
	if j.count(second.SHA256) != 1 {
		t.Errorf("the new fingerprint is not in the log:\n%s", j)
	}
	renewed, err := m.Renew(ctx, "")
	if err != nil || len(renewed) != 1 || renewed[0].SHA256 == second.SHA256 {
		t.Errorf("renew: got %+v, %v, want a third", renewed, err)
	}
}

func TestSelfSignedCertificateOutlivesAClockThatWasReset(t *testing.T) {
	records := storetest.NewModel()
	o := Options{Names: []string{"mail.example.org"}, SelfSigned: true, Records: records}
	want := newManager(t, o).List()[0].SHA256
	for _, at := range []time.Time{time.Unix(0, 0), time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC), time.Now()} {
		o.Now = func() time.Time { return at }
		if got := newManager(t, o).List()[0].SHA256; got != want {
			t.Errorf("started at %v: got another fingerprint than before", at)
		}
	}
}

func TestSelfSignedCertificateMadeWithAWrongClockIsReplaced(t *testing.T) {
	for _, wrong := range []time.Time{time.Unix(0, 0), time.Now().AddDate(2, 0, 0)} {
		records := storetest.NewModel()
		o := Options{SelfSigned: true, Records: records, Now: func() time.Time { return wrong }}
		newManager(t, o)
		o.Now = nil
		leaf := served(t, newManager(t, o), "")
		if now := time.Now(); now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
			t.Errorf("made at %v: got one from %v to %v", wrong, leaf.NotBefore, leaf.NotAfter)
		}
	}
}

func TestFailedRenewalOfASelfSignedCertificateDoesNotFillTheLog(t *testing.T) {
	now, j := newClock(), newJournal()
	records := &failingRecords{Model: storetest.NewModel()}
	m := newManager(t, Options{SelfSigned: true, Records: records, Now: now.now, Logger: j.logger()})
	first := m.List()[0].SHA256
	now.add(leafLife/3*2 + skew)
	records.put = fault.Newf(fault.NoSpace, "put record", "the disk is full")
	for range 100 {
		m.tend(t.Context())
		now.add(lookInterval)
	}
	if got := j.count("could not be renewed"); got != 1 {
		t.Errorf("got %d errors in the log in %v, want one", got, 100*lookInterval)
	}
	records.put = nil
	now.add(renewAgain)
	m.tend(t.Context())
	if m.List()[0].SHA256 == first {
		t.Error("it is not tried again")
	}
}

func TestSelfSignedCertificateThatCannotBeReadIsReplaced(t *testing.T) {
	j := newJournal()
	records := &failingRecords{Model: storetest.NewModel(), get: fault.Newf(fault.Corrupt, "record", "checksum")}
	m := newManager(t, Options{SelfSigned: true, Records: records, Logger: j.logger()})
	served(t, m, "")
	if j.count("level=ERROR") != 1 {
		t.Errorf("got no error in the log:\n%s", j)
	}
}

// failingRecords are records that fail when an error is set.
type failingRecords struct {
	*storetest.Model
	get, put error
}

func (r *failingRecords) Record(ctx context.Context, key string) (store.Record, error) {
	if r.get != nil {
		return store.Record{}, r.get
	}
	return r.Model.Record(ctx, key)
}

func (r *failingRecords) PutRecord(ctx context.Context, rec store.Record) error {
	if r.put != nil {
		return r.put
	}
	return r.Model.PutRecord(ctx, rec)
}

func TestSelfSignedCertificateFollowsTheHostName(t *testing.T) {
	records := storetest.NewModel()
	newManager(t, Options{Names: []string{"old.example.org"}, SelfSigned: true, Records: records})
	got := newManager(t, Options{Names: []string{"new.example.org"}, SelfSigned: true, Records: records}).List()[0].Names
	if !slices.Contains(got, "new.example.org") || slices.Contains(got, "old.example.org") {
		t.Errorf("got %q, want the new name only", got)
	}
}

func TestBrokenSelfSignedCertificateIsReplacedLoudly(t *testing.T) {
	records, j := storetest.NewModel(), newJournal()
	err := records.PutRecord(context.Background(), store.Record{Key: selfSignedRecord, Value: []byte("rubbish")})
	if err != nil {
		t.Fatal(err)
	}
	m := newManager(t, Options{SelfSigned: true, Records: records, Logger: j.logger()})
	served(t, m, "")
	if j.count("level=ERROR") != 1 {
		t.Errorf("got no error in the log:\n%s", j)
	}
}

func TestSelfSignedCertificateNeedsAStoreThatKeepsIt(t *testing.T) {
	if _, err := New(Options{SelfSigned: true}); !fault.Is(err, fault.Invalid) {
		t.Errorf("no store: got %v, want Invalid", err)
	}
	ca := newTestCA(t)
	p := ca.put(t, ca.leaf(t, nil, "mail.example.org"), t.TempDir(), "cert")
	records := storetest.NewModel()
	newManager(t, Options{Files: []Pair{p}, SelfSigned: true, Records: records})
	if _, err := records.Record(context.Background(), selfSignedRecord); !fault.Is(err, fault.NotFound) {
		t.Errorf("with a certificate in files: got %v, want none made", err)
	}
}

func TestListDoesNotShowKeys(t *testing.T) {
	m := newManager(t, Options{SelfSigned: true})
	i := m.List()[0]
	if !strings.HasPrefix(i.Pin(), "sha256//") || len(i.SPKISHA256) != 64 || len(i.SHA256) != 95 {
		t.Errorf("got pin %q, SPKI %q, certificate %q", i.Pin(), i.SPKISHA256, i.SHA256)
	}
	if (Info{}).Pin() != "" {
		t.Error("got a pin of nothing")
	}
	if i.NotAfter.Before(time.Now()) {
		t.Errorf("got an end at %v", i.NotAfter)
	}
}
