package directory

import (
	"context"
	"crypto/rand"

	"postrider/internal/fault"
	"postrider/internal/store"
)

// SCRAM is what a login by SCRAM-SHA-256 needs (RFC 5802, RFC 7677).
type SCRAM struct {
	Salt       []byte
	Iterations int
	// Keys are those that the name may use, or some that fit nothing. All have the
	// same salt, which the client must be told before it says which password it
	// knows.
	Keys []SCRAMKeys
	// Account is who the name is, without verifiers, when Usable.
	Account store.Account
	// Usable says that a proof which fits one of the Keys is good. Otherwise none is.
	Usable bool
	// Elsewhere are keys of app passwords that are not for the protocol: a proof
	// that fits one is refused, and the log says why (NotFor).
	Elsewhere []SCRAMKeys
	// Why is what the log says of a proof that fits none. No client is told it.
	Why string
}

// SCRAMKeys are the keys of one password.
type SCRAMKeys struct {
	Stored, Server []byte
	AppPassword    string // its name; empty: the account's own password
}

// SCRAMPossible reports whether keys for SCRAM are made and used. It costs nothing.
func (d *Directory) SCRAMPossible() bool { return d.o.SCRAMIterations > 0 }

// SCRAM returns what a login by SCRAM-SHA-256 needs. A name that nobody has, or
// that can't log in this way, gets an answer that looks the same and is always
// the same for all spellings of the name. The error is never NotFound or Denied:
// it means that it can't be told now.
//
// The keys of an app password are those of the password as it was shown when it
// was made, with its hyphens: a client's proof can't be normalized.
func (d *Directory) SCRAM(ctx context.Context, name, protocol string) (SCRAM, error) {
	account, err := d.loginAccount(ctx, name)
	if err != nil {
		return SCRAM{}, err
	}
	secret, err := d.decoys.secret(ctx)
	if err != nil {
		return SCRAM{}, err
	}
	salt, ok := d.scramSaltOf(account)
	if !ok {
		salt = d.decoySalt(secret, name)
	}
	s := SCRAM{Salt: []byte(salt.salt), Iterations: salt.iterations, Why: d.whyNoProof(account)}
	if ok && !account.Disabled {
		s.Keys, s.Elsewhere = keysOf(account, salt, protocol)
	}
	if s.Usable = len(s.Keys) > 0; !s.Usable {
		s.Keys = []SCRAMKeys{decoyKeys(secret, name)}
		return s, nil
	}
	s.Account = shown(account)
	return s, nil
}

// whyNoProof is why a proof that fits nothing of an account is refused.
func (d *Directory) whyNoProof(a store.Account) string {
	if why := closed(a); why != "" {
		return why
	}
	if _, err := parseSCRAM(a.SCRAM); err != nil || d.o.SCRAMIterations < 0 {
		return noSCRAMKeys
	}
	return wrongPassword
}

// keysOf returns the keys that an account may use in a protocol, and those that
// are for others, as far as they have the salt.
func keysOf(a store.Account, salt scramSalt, protocol string) (usable, elsewhere []SCRAMKeys) {
	if k, err := parseSCRAM(a.SCRAM); err == nil && k.scramSalt == salt {
		usable = append(usable, SCRAMKeys{Stored: k.stored, Server: k.server})
	}
	for _, p := range a.AppPasswords {
		k, err := parseSCRAM(p.SCRAM)
		if err != nil || k.scramSalt != salt {
			continue
		}
		keys := SCRAMKeys{Stored: k.stored, Server: k.server, AppPassword: p.Name}
		if inScope(p, protocol) {
			usable = append(usable, keys)
		} else {
			elsewhere = append(elsewhere, keys)
		}
	}
	return usable, elsewhere
}

// scramSaltOf returns the salt that the passwords of an account share: that of
// its own password or, when that has no keys, of its app passwords.
func (d *Directory) scramSaltOf(a store.Account) (scramSalt, bool) {
	if d.o.SCRAMIterations < 0 {
		return scramSalt{}, false
	}
	if k, err := parseSCRAM(a.SCRAM); err == nil {
		return k.scramSalt, true
	}
	return saltOfApps(a)
}

// saltOfApps returns the salt of an account's app passwords.
func saltOfApps(a store.Account) (scramSalt, bool) {
	for _, p := range a.AppPasswords {
		if k, err := parseSCRAM(p.SCRAM); err == nil {
			return k.scramSalt, true
		}
	}
	return scramSalt{}, false
}

// newSalt returns a salt for an account that has none.
func (d *Directory) newSalt() scramSalt {
	var salt [saltSize]byte
	rand.Read(salt[:]) // never fails (crypto/rand)
	return scramSalt{iterations: d.o.SCRAMIterations, salt: string(salt[:])}
}

// lacksKeys reports whether an account's own password should get keys: it has
// none, or they cost less than new ones do and no app password shares their salt.
func (d *Directory) lacksKeys(a store.Account) bool {
	if d.o.SCRAMIterations < 0 {
		return false
	}
	k, err := parseSCRAM(a.SCRAM)
	if err != nil {
		return true
	}
	shared, ok := saltOfApps(a)
	if ok {
		return k.scramSalt != shared
	}
	return k.iterations < d.o.SCRAMIterations
}

// ownKeys returns the keys of an account's own password, "" when no keys are
// made: with the salt of its app passwords, or a new one when they have none.
func (d *Directory) ownKeys(a store.Account, password string) (string, error) {
	if d.o.SCRAMIterations < 0 {
		return "", nil
	}
	salt, ok := saltOfApps(a)
	if !ok {
		salt = d.newSalt()
	}
	return keysForm(salt, password)
}

// appKeys returns the keys of an app password, as ownKeys does.
func (d *Directory) appKeys(a store.Account, password string) (string, error) {
	if d.o.SCRAMIterations < 0 {
		return "", nil
	}
	salt, ok := d.scramSaltOf(a)
	if !ok {
		salt = d.newSalt()
	}
	return keysForm(salt, password)
}

func keysForm(salt scramSalt, password string) (string, error) {
	k, err := salt.derive(password)
	if err != nil {
		return "", fault.New(fault.Internal, "make keys for SCRAM", err)
	}
	return k.String(), nil
}

// decoySalt is the salt of a name that has none.
func (d *Directory) decoySalt(secret []byte, name string) scramSalt {
	iterations := d.o.SCRAMIterations
	if iterations < 0 {
		iterations = DefaultSCRAMIterations
	}
	made := keyed(secret, "salt\x00"+sameName(name))
	return scramSalt{iterations: iterations, salt: string(made[:saltSize])}
}

// decoyKeys are keys that fit no password that anybody could know.
func decoyKeys(secret []byte, name string) SCRAMKeys {
	name = sameName(name)
	return SCRAMKeys{
		Stored: keyed(secret, "stored\x00"+name),
		Server: keyed(secret, "server\x00"+name),
	}
}
