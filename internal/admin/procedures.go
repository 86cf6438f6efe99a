package admin

// procedures are all that a Handler knows, by name.
var procedures = map[string]procedure{
	"domain.add":    takes(domainAdd),
	"domain.remove": takes(domainRemove),
	"domain.list":   takes(domainList),

	"account.add":      takes(accountAdd),
	"account.get":      takes(accountGet),
	"account.list":     takes(accountList),
	"account.password": takes(accountPassword),
	"account.disabled": takes(accountDisabled),
	"account.quota":    takes(accountQuota),
	"account.remove":   takes(accountRemove),
	"account.import":   takes(accountImport),

	"alias.add":    takes(aliasAdd),
	"alias.remove": takes(aliasRemove),
	"alias.list":   takes(aliasList),

	"mailbox.list":   takes(mailboxList),
	"mailbox.show":   takes(mailboxShow),
	"mailbox.unlock": takes(mailboxUnlock),

	"store.check": takes(storeCheck),
	"store.usage": takes(storeUsage),
}
