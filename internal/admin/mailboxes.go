package admin

import (
	"context"
	"iter"
	"time"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// Which names accounts: one, those of a domain, or with neither all.
type Which struct {
	Address string `json:"address,omitempty"`
	Domain  string `json:"domain,omitempty"`
}

// Mailbox is a mailbox as it is shown.
type Mailbox struct {
	Account     string           `json:"account"`
	ID          mail.MailboxID   `json:"id"`
	Name        string           `json:"name"`
	Messages    int64            `json:"messages"`
	Octets      int64            `json:"octets"`
	UIDNext     mail.UID         `json:"uid_next"`
	UIDValidity mail.UIDValidity `json:"uid_validity"`
	ModSeq      mail.ModSeq      `json:"mod_seq"`
}

// Holder is who has a maildrop open.
type Holder struct {
	Who   string    `json:"who"`
	Mode  string    `json:"mode"`
	Since time.Time `json:"since"`
}

// MailboxState is what an account has, and who has its maildrop open.
type MailboxState struct {
	Address   string    `json:"address"`
	Mailboxes []Mailbox `json:"mailboxes"`
	Holders   []Holder  `json:"holders"`
}

// Mailboxes lists mailboxes by account and number.
func (c *Client) Mailboxes(ctx context.Context, w Which) iter.Seq2[Mailbox, error] {
	return list[Mailbox](ctx, c, "mailbox.list", w)
}

// ShowMailbox returns an account's mailboxes and the holders of its maildrop.
func (c *Client) ShowMailbox(ctx context.Context, address string) (MailboxState, error) {
	var s MailboxState
	err := c.ask(ctx, "mailbox.show", Which{Address: address}, &s)
	return s, err
}

// Unlock ends the leases of all who have a maildrop open, and says how many it
// were.
func (c *Client) Unlock(ctx context.Context, address string) (int, error) {
	var n int
	err := c.ask(ctx, "mailbox.unlock", Which{Address: address}, &n)
	return n, err
}

func mailboxList(s *service, c *call, w Which) (any, error) {
	if w.Address != "" {
		account, err := s.directory.Lookup(c, w.Address)
		if err != nil {
			return nil, err
		}
		return nil, s.emitMailboxes(c, account)
	}
	for account, err := range s.directory.Accounts(c, w.Domain) {
		if err == nil {
			err = s.emitMailboxes(c, account)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (s *service) emitMailboxes(c *call, account store.Account) error {
	boxes, err := s.mailboxes(c, account)
	if err != nil {
		return err
	}
	for _, b := range boxes {
		if err := c.emit(b); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) mailboxes(c *call, account store.Account) ([]Mailbox, error) {
	boxes, err := s.store.ListMailboxes(c, account.ID)
	if err != nil {
		return nil, err
	}
	shown := make([]Mailbox, len(boxes))
	for i, b := range boxes {
		shown[i] = Mailbox{
			Account: account.Address, ID: b.ID, Name: b.Name, Messages: b.Messages, Octets: b.Octets,
			UIDNext: b.UIDNext, UIDValidity: b.UIDValidity, ModSeq: b.ModSeq,
		}
	}
	return shown, nil
}

func mailboxShow(s *service, c *call, w Which) (any, error) {
	account, err := s.directory.Lookup(c, w.Address)
	if err != nil {
		return nil, err
	}
	state := MailboxState{Address: account.Address, Holders: []Holder{}}
	if state.Mailboxes, err = s.mailboxes(c, account); err != nil {
		return nil, err
	}
	holders, err := s.store.Holders(c, account.ID)
	if err != nil {
		return nil, err
	}
	for _, h := range holders {
		mode := "exclusive"
		if h.Mode == store.Snapshot {
			mode = "snapshot"
		}
		state.Holders = append(state.Holders, Holder{Who: h.Who, Mode: mode, Since: h.Since})
	}
	return state, nil
}

func mailboxUnlock(s *service, c *call, w Which) (any, error) {
	account, err := s.directory.Lookup(c, w.Address)
	if err != nil {
		return nil, err
	}
	holders, err := s.store.Holders(c, account.ID)
	if err != nil {
		return nil, err
	}
	return len(holders), s.store.BreakLock(c, account.ID)
}
