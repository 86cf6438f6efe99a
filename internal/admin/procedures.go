package admin

import "postrider/internal/store"

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

	"account.grant":                takes(accountGrant),
	"account.ungrant":              takes(accountUngrant),
	"account.app_password.add":     takes(appPasswordAdd),
	"account.app_password.list":    takes(appPasswordList),
	"account.app_password.revoke":  takes(appPasswordRevoke),
	"account.legacy_secret.set":    takes(legacySecretSet),
	"account.legacy_secret.remove": takes(legacySecretRemove),

	"alias.add":    takes(aliasAdd),
	"alias.remove": takes(aliasRemove),
	"alias.list":   takes(aliasList),

	"mailbox.list":   takes(mailboxList),
	"mailbox.show":   takes(mailboxShow),
	"mailbox.unlock": takes(mailboxUnlock),

	"auth.log":     takes(authLog),
	"auth.locked":  takes(authLocked),
	"auth.unblock": takes(authUnblock),

	"cert.list":  takes(certList),
	"cert.renew": takes(certRenew),

	"dkim.generate": takes(dkimGenerate),
	"dkim.rotate":   takes(dkimRotate),
	"dkim.list":     takes(dkimList),
	"dkim.activate": takes(dkimActivate),
	"dkim.retire":   takes(dkimRetire),
	"dkim.remove":   takes(dkimRemove),

	"held.list":    takes(heldList),
	"held.release": takes(heldRelease),
	"held.drop":    takes(heldDrop),

	"queue.list":    takes(queueList),
	"queue.show":    takes(queueShow),
	"queue.read":    takes(queueRead),
	"queue.stats":   takes(queueStats),
	"queue.hold":    takes(queueChange(store.HoldRows)),
	"queue.release": takes(queueChange(store.ReleaseRows)),
	"queue.retry":   takes(queueChange(store.RetryRows)),
	"queue.drop":    takes(queueChange(store.DropRows)),
	"queue.bounce":  takes(queueBounce),
	"queue.freeze":  takes(queueFreeze),
	"queue.thaw":    takes(queueThaw),
	"queue.frozen":  takes(queueFrozen),

	"store.check": takes(storeCheck),
	"store.usage": takes(storeUsage),
}
