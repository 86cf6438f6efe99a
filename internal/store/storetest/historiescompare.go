package storetest

import (
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"

	"pgregory.net/rapid"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// compare compares all that the two stores show.
func (h *history) compare(t *rapid.T) {
	h.compareDirectory(t)
	h.compareHeld(t)
	h.compareRecords(t)
	h.compareQueue(t)
	for _, id := range h.accounts {
		h.compareAccount(t, id)
	}
	for _, b := range h.boxes {
		h.compareBox(t, b)
	}
	for i, d := range h.drops {
		what := fmt.Sprintf("maildrop %d of account %d", i, d.box.account)
		got, want := d.engine.Mailbox(), d.model.Mailbox()
		if got.Messages != want.Messages || got.Octets != want.Octets {
			t.Fatalf("%s: the engine has %+v, the model %+v", what, got, want)
		}
		h.compareMessages(t, what, d.box, d.engine.List(h.ctx), d.model.List(h.ctx),
			func(uid mail.UID) (store.Reader, error) { return d.engine.Open(h.ctx, uid) },
			func(uid mail.UID) (store.Reader, error) { return d.model.Open(h.ctx, uid) })
	}
	got, err := h.engine.Usage(h.ctx)
	want, _ := h.model.Usage(h.ctx)
	if err != nil || len(h.drops) == 0 && got.Messages != want.Messages {
		t.Fatalf("the engine has %d contents (%v), the model %d", got.Messages, err, want.Messages)
	}
}

// drain returns a whole list; an error ends the history.
func drain[T any](t *rapid.T, what string, list iter.Seq2[T, error]) []T {
	var all []T
	for v, err := range list {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		all = append(all, v)
	}
	return all
}

func (h *history) compareDirectory(t *rapid.T) {
	var got, want []string
	for _, d := range drain(t, "Domains", h.engine.Domains(h.ctx, "")) {
		got = append(got, d.Name)
	}
	for _, d := range drain(t, "Domains", h.model.Domains(h.ctx, "")) {
		want = append(want, d.Name)
	}
	for _, domain := range append([]string{""}, historyDomains...) {
		for _, e := range drain(t, "Entries", h.engine.Entries(h.ctx, domain, "")) {
			got = append(got, fmt.Sprintf("%s %d %q", e.Address, e.Account, e.Targets))
		}
		for _, e := range drain(t, "Entries", h.model.Entries(h.ctx, domain, "")) {
			if e.Account != 0 {
				e.Account = h.engineID(e.Account)
			}
			want = append(want, fmt.Sprintf("%s %d %q", e.Address, e.Account, e.Targets))
		}
		for _, a := range drain(t, "Accounts", h.engine.Accounts(h.ctx, domain, "")) {
			got = append(got, accountText(a))
		}
		for _, a := range drain(t, "Accounts", h.model.Accounts(h.ctx, domain, "")) {
			a.ID = h.engineID(a.ID)
			want = append(want, accountText(a))
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the directory is\n%q, want\n%q", got, want)
	}
}

func accountText(a store.Account) string {
	passwords := ""
	for _, p := range a.AppPasswords {
		passwords += fmt.Sprintf("%s %q %x %s %d %d,", p.Name, p.Scope, p.Hash, p.SCRAM, p.Created.Unix(), p.Used.Unix())
	}
	return fmt.Sprintf("%d %s %s %s %x %q [%s] %v %d %d/%d/%d %d", a.ID, a.Address, a.Password, a.SCRAM, a.LegacySecret, a.Grants, passwords,
		a.Disabled, a.Quota, a.Messages, a.Octets, a.HeldOctets, a.Created.Unix())
}

func (h *history) compareAccount(t *rapid.T, id mail.AccountID) {
	want, modelErr := h.model.Account(h.ctx, id)
	got, engineErr := h.engine.Account(h.ctx, h.engineID(id))
	agree(t, fmt.Sprintf("Account(%d)", id), engineErr, modelErr)
	want.ID = h.engineID(want.ID)
	if modelErr == nil && accountText(got) != accountText(want) {
		t.Fatalf("account %d is %s, want %s", id, accountText(got), accountText(want))
	}
	modelHolders, modelErr := h.model.Holders(h.ctx, id)
	engineHolders, engineErr := h.engine.Holders(h.ctx, h.engineID(id))
	agree(t, fmt.Sprintf("Holders(%d)", id), engineErr, modelErr)
	if got, want := sortedHolders(engineHolders), sortedHolders(modelHolders); !slices.Equal(got, want) {
		t.Fatalf("holders of %d are %v, want %v", id, got, want)
	}
}

func (h *history) compareBox(t *rapid.T, b *historyBox) {
	what := fmt.Sprintf("mailbox %d of account %d", b.id, b.account)
	want, modelErr := h.model.Mailbox(h.ctx, b.account, b.id)
	got, engineErr := h.engine.Mailbox(h.ctx, h.engineID(b.account), b.engineID)
	agree(t, what, engineErr, modelErr)
	if modelErr != nil {
		return
	}
	if got.Name != want.Name || got.Messages != want.Messages || got.Octets != want.Octets {
		t.Fatalf("%s is %+v, want %+v", what, got, want)
	}
	if b.validity != 0 && b.validity != uint64(got.UIDValidity) || uint64(got.ModSeq) < b.seen {
		t.Fatalf("%s: UIDVALIDITY %d after %d, ModSeq %d after %d", what, got.UIDValidity, b.validity, got.ModSeq, b.seen)
	}
	b.validity, b.seen = uint64(got.UIDValidity), uint64(got.ModSeq)
	if n := len(b.engineUIDs); n > 0 && got.UIDNext <= b.engineUIDs[n-1] {
		t.Fatalf("%s: UIDNext is %d after UID %d", what, got.UIDNext, b.engineUIDs[n-1])
	}
	account := h.engineID(b.account)
	h.compareMessages(t, what, b,
		h.engine.List(h.ctx, account, b.engineID, 0), h.model.List(h.ctx, b.account, b.id, 0),
		func(uid mail.UID) (store.Reader, error) { return h.engine.Open(h.ctx, account, b.engineID, uid) },
		func(uid mail.UID) (store.Reader, error) { return h.model.Open(h.ctx, b.account, b.id, uid) })
}

type opener func(mail.UID) (store.Reader, error)

func (h *history) compareMessages(t *rapid.T, what string, b *historyBox, engine, model iter.Seq2[store.Message, error], openEngine, openModel opener) {
	got, want := drain(t, what, engine), drain(t, what, model)
	if len(got) != len(want) {
		t.Fatalf("%s lists %+v, want %+v", what, got, want)
	}
	uidls := map[string]bool{}
	for i, m := range want {
		g := got[i]
		at := slices.Index(b.uids, m.UID)
		if g.UID != b.engineUIDs[at] || g.Size != m.Size || g.Flags != m.Flags || g.ID != m.ID || !g.Received.Equal(m.Received) {
			t.Fatalf("%s lists %+v, want %+v with UID %d", what, g, m, b.engineUIDs[at])
		}
		if uidls[g.UIDL] || !uidlForm.MatchString(g.UIDL) {
			t.Fatalf("%s has UIDL %q twice, or it is not one", what, g.UIDL)
		}
		uidls[g.UIDL] = true
		compareOctets(t, fmt.Sprintf("%s, UID %d", what, m.UID), g.UID, m.UID, openEngine, openModel)
	}
}

func compareOctets(t *rapid.T, what string, engineUID, modelUID mail.UID, openEngine, openModel opener) {
	got, gotEnvelope, err := slurp(openEngine(engineUID))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	want, wantEnvelope, err := slurp(openModel(modelUID))
	if err != nil {
		t.Fatalf("%s in the model: %v", what, err)
	}
	if got != want {
		t.Fatalf("%s: got %d octets %s, want %d octets %s", what, len(got), brief(got), len(want), brief(want))
	}
	if !reflect.DeepEqual(gotEnvelope, wantEnvelope) {
		t.Fatalf("%s: got envelope %+v, want %+v", what, gotEnvelope, wantEnvelope)
	}
}

// slurp reads all and closes.
func slurp(r store.Reader, err error) (string, mail.Envelope, error) {
	if err != nil {
		return "", mail.Envelope{}, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return "", mail.Envelope{}, err
	}
	e, err := r.Envelope()
	return string(b), e, err
}
