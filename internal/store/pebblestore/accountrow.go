package pebblestore

import (
	"bytes"
	"encoding/binary"
	"slices"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// firstVersion is that of a new account, and of one whose row was written by
// format 1, which ends after created.
const firstVersion = 1

func appendAccount(b []byte, a *store.Account) []byte {
	b = appendText(b, a.Address)
	b = appendText(b, a.Password)
	b = append(b, boolOctet(a.Disabled))
	b = binary.AppendVarint(b, a.Quota)
	b = binary.AppendVarint(b, a.Created.Unix())
	b = binary.AppendUvarint(b, a.Version)
	b = appendText(b, a.SCRAM)
	b = appendOctets(b, a.LegacySecret)
	b = appendTexts(b, a.Grants)
	b = binary.AppendUvarint(b, uint64(len(a.AppPasswords)))
	for i := range a.AppPasswords {
		p := &a.AppPasswords[i]
		b = appendText(b, p.Name)
		b = appendTexts(b, p.Scope)
		b = appendOctets(b, p.Hash)
		b = appendText(b, p.SCRAM)
		b = binary.AppendVarint(b, p.Created.Unix())
		b = binary.AppendVarint(b, p.Used.Unix())
	}
	return b
}

func decodeAccount(id mail.AccountID, v []byte) (store.Account, error) {
	r := valueReader{b: v}
	a := store.Account{
		ID: id, Address: r.text(), Password: r.text(), Disabled: r.octet() != 0, Quota: r.int(), Created: r.time(),
		Version: firstVersion,
	}
	if r.err != nil || len(r.b) == 0 {
		return a, r.err
	}
	a.Version = r.uint()
	a.SCRAM = r.text()
	a.LegacySecret = r.octets()
	a.Grants = r.texts()
	if n := r.count(); n > 0 {
		a.AppPasswords = make([]store.AppPassword, n)
	}
	for i := range a.AppPasswords {
		a.AppPasswords[i] = store.AppPassword{
			Name: r.text(), Scope: r.texts(), Hash: r.octets(), SCRAM: r.text(), Created: r.time(), Used: r.time(),
		}
	}
	return a, r.err
}

// cloneAccount returns a copy that shares nothing.
func cloneAccount(a store.Account) store.Account {
	a.LegacySecret = bytes.Clone(a.LegacySecret)
	a.Grants = slices.Clone(a.Grants)
	a.AppPasswords = slices.Clone(a.AppPasswords)
	for i := range a.AppPasswords {
		p := &a.AppPasswords[i]
		p.Scope, p.Hash = slices.Clone(p.Scope), bytes.Clone(p.Hash)
	}
	return a
}

// withoutLogin takes all that a login or a sending needs from an account.
func withoutLogin(a store.Account) store.Account {
	a.Disabled = true
	a.Password, a.SCRAM, a.LegacySecret = "", "", nil
	a.AppPasswords, a.Grants = nil, nil
	return a
}
