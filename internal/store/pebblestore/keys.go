package pebblestore

import (
	"encoding/binary"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// Every key of the index begins with an octet that names its table. Numbers in
// keys are big-endian, so that the order of keys is theirs. docs/STORE.md lists
// the tables with their values.
const (
	tableAccount = 'a' // account(8)                        → account record
	tableMailbox = 'b' // account(8) mailbox(4)             → mailbox head
	tableDomain  = 'd' // domain                            → domain record
	tableEntry   = 'e' // address                           → what the address stands for
	tableFile    = 'f' // file(8)                           → blob(8): large contents
	tableHeld    = 'h' // id(16)                            → held message
	tableIn      = 'i' // domain 0 address                  → nothing: addresses by domain
	tableRecord  = 'k' // key                               → record
	tableMessage = 'm' // account(8) mailbox(4) uid(4)      → message
	tableBlob    = 'o' // blob(8)                           → where a content is
	tableRow     = 'p' // id(16) index(4)                   → queued message's recipient
	tableQueued  = 'q' // id(16)                            → queued message
	tableAccept  = 'r' // id(16)                            → what Accept answered
	tableSegment = 's' // segment(8)                        → octets live and used
	tableDue     = 't' // due(8) id(16)                     → nothing: held messages by time
	tableUsage   = 'u' // account(8)                        → counters of the account
	tablePlan    = 'w' // destination 0 class(1) due(8) id(16) index(4) → nothing: the queue's schedule
	tableSweep   = 'x' // account(8)                        → removed account, mail not yet swept
	tableFrozen  = 'z' // destination                       → frozen destination
	tableMeta    = '!' // name                              → store record, applied position
)

var (
	keyStore   = []byte("!store")   // format and id
	keyApplied = []byte("!applied") // LSN of the last commit applied, and where the next one goes
	keyNumbers = []byte("!numbers") // greatest account number and UIDVALIDITY given
	keyQueue   = []byte("!queue")   // how much is in the queue
)

// keyBuf is room for any fixed-length key.
type keyBuf [25]byte

func (k *keyBuf) u64(table byte, n uint64) []byte {
	k[0] = table
	binary.BigEndian.PutUint64(k[1:], n)
	return k[:9]
}

func (k *keyBuf) account(id mail.AccountID) []byte { return k.u64(tableAccount, uint64(id)) }
func (k *keyBuf) usage(id mail.AccountID) []byte   { return k.u64(tableUsage, uint64(id)) }
func (k *keyBuf) sweep(id mail.AccountID) []byte   { return k.u64(tableSweep, uint64(id)) }
func (k *keyBuf) blob(id uint64) []byte            { return k.u64(tableBlob, id) }
func (k *keyBuf) file(n uint64) []byte             { return k.u64(tableFile, n) }
func (k *keyBuf) segment(n uint64) []byte          { return k.u64(tableSegment, n) }

func (k *keyBuf) mailbox(m mailboxKey) []byte {
	k.u64(tableMailbox, uint64(m.account))
	binary.BigEndian.PutUint32(k[9:], uint32(m.mailbox))
	return k[:13]
}

func (k *keyBuf) message(m mailboxKey, uid mail.UID) []byte {
	k.u64(tableMessage, uint64(m.account))
	binary.BigEndian.PutUint32(k[9:], uint32(m.mailbox))
	binary.BigEndian.PutUint32(k[13:], uint32(uid))
	return k[:17]
}

func (k *keyBuf) accept(id mail.ID) []byte {
	k[0] = tableAccept
	copy(k[1:], id[:])
	return k[:17]
}

func (k *keyBuf) held(id mail.ID) []byte {
	k[0] = tableHeld
	copy(k[1:], id[:])
	return k[:17]
}

// due is a key by time: seconds since 1970, those before it come first.
func (k *keyBuf) due(seconds int64, id mail.ID) []byte {
	k.u64(tableDue, uint64(seconds)^1<<63)
	copy(k[9:], id[:])
	return k[:25]
}

func (k *keyBuf) queued(id mail.ID) []byte {
	k[0] = tableQueued
	copy(k[1:], id[:])
	return k[:17]
}

func (k *keyBuf) row(r store.RowID) []byte {
	k[0] = tableRow
	copy(k[1:], r.Message[:])
	binary.BigEndian.PutUint32(k[17:], uint32(r.Index))
	return k[:21]
}

// keyRow reads the message and index of a row's key.
func keyRow(key []byte) (r store.RowID, ok bool) {
	if len(key) != 21 {
		return r, false
	}
	copy(r.Message[:], key[1:])
	r.Index = int(binary.BigEndian.Uint32(key[17:]))
	return r, true
}

func frozenKey(name string) []byte { return append([]byte{tableFrozen}, name...) }

func recordKey(key string) []byte    { return append([]byte{tableRecord}, key...) }
func domainKey(name string) []byte   { return append([]byte{tableDomain}, name...) }
func entryKey(address string) []byte { return append([]byte{tableEntry}, address...) }

func inKey(domain, address string) []byte {
	k := make([]byte, 0, 2+len(domain)+len(address))
	k = append(append(k, tableIn), domain...)
	return append(append(k, 0), address...)
}

// keyUint64 reads the number after the table's octet; ok is false if the key is
// too short.
func keyUint64(key []byte) (n uint64, ok bool) {
	if len(key) < 9 {
		return 0, false
	}
	return binary.BigEndian.Uint64(key[1:]), true
}

// keyMailbox reads account and mailbox of a mailbox's or a message's key.
func keyMailbox(key []byte) (m mailboxKey, ok bool) {
	if len(key) < 13 {
		return m, false
	}
	m.account = mail.AccountID(binary.BigEndian.Uint64(key[1:]))
	m.mailbox = mail.MailboxID(binary.BigEndian.Uint32(key[9:]))
	return m, true
}

// keyUID reads the UID of a message's key.
func keyUID(key []byte) (mail.UID, bool) {
	if len(key) != 17 {
		return 0, false
	}
	return mail.UID(binary.BigEndian.Uint32(key[13:])), true
}

// keyHeld reads the ID of a held message's key, or that of one by time.
func keyHeld(key []byte) (id mail.ID, ok bool) {
	if len(key) < len(id)+1 {
		return id, false
	}
	copy(id[:], key[len(key)-len(id):])
	return id, true
}

// after returns the least key greater than all that begin with prefix, nil if
// there is none.
func after(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}
