//go:build e2e

package e2e

// senders are the clients that send mail.
var senders = []client{
	{
		name: "curl", denies: []string{"Login denied", "Authentication failed"},
		services:   []string{submission, submissions},
		mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5", "EXTERNAL", "OAUTHBEARER"},
		recipe:     curlSends,
		shown:      []login{{submissions, "PLAIN"}, {submission, "PLAIN"}, {submissions, "EXTERNAL"}, {submissions, "OAUTHBEARER"}},
		note:       "Name the mechanism where CRAM-MD5 is offered: curl prefers it, and tries no other when it has failed.",
		lacks: []lack{
			{"SCRAM-SHA-256", "Debian's curl is built without GNU SASL", "curl --version", "Features: ", "gsasl"},
			{"SCRAM-SHA-256-PLUS", "curl has no channel binding for SASL", "", "", ""},
		},
	},
	{
		name: "swaks", denies: []string{"No authentication type succeeded"},
		services:   []string{submission, submissions},
		mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5"},
		recipe: func(service, mechanism string) recipe {
			return recipe{command: "swaks --server {host} --port {port} " + pick(service, submission, "--tls", "--tls-on-connect") +
				" --tls-verify --tls-ca-path ca.pem --helo client.example.org \\\n  --auth " + mechanism +
				" --auth-user {user} --auth-password {password} --from {user} --to {to} --data @message.eml"}
		},
		shown: []login{{submission, "PLAIN"}, {submissions, "LOGIN"}},
		lacks: []lack{
			{"SCRAM-SHA-256", "swaks does not know it", swaksTries + "SCRAM-SHA-256", "SCRAM-SHA-256 is not a recognized", ""},
			{"SCRAM-SHA-256-PLUS", "swaks does not know it", swaksTries + "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256-PLUS is not a recognized auth type", ""},
			{"EXTERNAL", "swaks does not know it", swaksTries + "EXTERNAL", "EXTERNAL is not a recognized auth type", ""},
			{"OAUTHBEARER", "swaks does not know it", swaksTries + "OAUTHBEARER", "OAUTHBEARER is not a recognized auth type", ""},
		},
	},
	{
		name: "msmtp", denies: []string{"authentication failed"},
		services:   []string{submission, submissions},
		mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "EXTERNAL", "OAUTHBEARER"},
		recipe:     msmtpSends,
		shown:      []login{{submissions, "SCRAM-SHA-256"}, {submission, "PLAIN"}, {submissions, "EXTERNAL"}},
		lacks: []lack{
			{"SCRAM-SHA-256-PLUS", "msmtp 1.8.23 does not know it", "msmtp --auth=scram-sha-256-plus --version; msmtp --version", "invalid argument scram-sha-256-plus", ""},
		},
	},
	{
		name: "mutt", denies: []string{"SASL authentication failed"},
		services:   []string{submission, submissions},
		mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "EXTERNAL", "OAUTHBEARER"},
		recipe:     muttSends,
		shown:      []login{{submissions, "SCRAM-SHA-256"}, {submission, "PLAIN"}, {submissions, "OAUTHBEARER"}},
		note:       muttNote,
		lacks: []lack{
			{"SCRAM-SHA-256-PLUS", "mutt gives GNU SASL no channel binding", "", "", ""},
		},
	},
	{
		name: "Python smtplib", denies: []string{"SMTPAuthenticationError"},
		services:   []string{submission, submissions},
		mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5", "EXTERNAL", "OAUTHBEARER"},
		recipe:     smtplibSends,
		shown:      []login{{submissions, "PLAIN"}, {submission, "PLAIN"}, {submissions, "OAUTHBEARER"}},
		note:       "`c.login(user, password)` chooses by itself: CRAM-MD5, PLAIN, LOGIN, and tries the next when one has failed.",
		lacks: []lack{
			{"SCRAM-SHA-256", "smtplib has none; it would be a program of its own", "python3 -c 'import smtplib; print(smtplib.SMTP.auth_scram_sha_256)'", "AttributeError", ""},
			{"SCRAM-SHA-256-PLUS", "smtplib has none; it would be a program of its own", "", "", ""},
		},
	},
	{
		name: "gsasl", denies: []string{"535 5.7.8", badToken},
		services:   []string{submission},
		mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "EXTERNAL"},
		recipe:     gsaslSends,
		shown:      []login{{submission, "SCRAM-SHA-256-PLUS"}},
		lacks: []lack{
			{"OAUTHBEARER", "GNU SASL does not know it", "gsasl --client-mechanisms </dev/null 2>&1", "PLAIN", "OAUTHBEARER"},
			{submissions, "gsasl has STARTTLS only", "", "", ""},
		},
	},
	{
		name: "openssl s_client", denies: []string{"535 5.7.8", badToken},
		services:   []string{submission, submissions},
		mechanisms: byHand,
		recipe: func(service, mechanism string) recipe {
			return recipe{command: sClient(service, mechanism), typed: typedMail(service == submission, mechanism)}
		},
		shown: []login{{submissions, "PLAIN"}, {submission, "EXTERNAL"}},
		note:  "Without `-quiet` s_client takes a line that begins with R, such as RCPT, for a command of its own.",
		lacks: cannotBeTyped,
	},
	{
		name: "gnutls-cli", denies: []string{"535 5.7.8", badToken},
		services:   []string{submission, submissions},
		mechanisms: byHand,
		recipe: func(service, mechanism string) recipe {
			return recipe{command: gnutlsCLI(service, mechanism), typed: typedMail(service == submission, mechanism)}
		},
		shown: []login{{submissions, "PLAIN"}, {submission, "PLAIN"}},
		lacks: cannotBeTyped,
	},
}

const muttNote = "Name the authenticators: Debian's mutt chooses SCRAM-SHA-256-PLUS by itself wherever it is offered, can't do it, and gives up. " +
	"Where nobody can be told, leave SCRAM-SHA-256-PLUS out of `login.mechanisms`."

const swaksTries = "swaks --server 127.0.0.1:1 --to x@example.org --auth-user x --auth-password x --auth "

func curlSends(service, mechanism string) recipe {
	c := "curl -sS --crlf --cacert ca.pem " + pick(service, submission, "--ssl-reqd smtp", "smtps") + "://{host}:{port}/client.example.org \\\n  "
	switch mechanism {
	case "EXTERNAL":
		c += "--cert alice.pem --login-options AUTH=EXTERNAL --user {user}:"
	case "OAUTHBEARER":
		c += "--oauth2-bearer {token} --login-options AUTH=OAUTHBEARER --user {user}:"
	default:
		c += "--login-options AUTH=" + mechanism + " --user '{user}:{password}'"
	}
	return recipe{command: c + " \\\n  --mail-from {user} --mail-rcpt {to} --upload-file message.eml"}
}

func msmtpSends(service, mechanism string) recipe {
	rc := "account default\nhost {host}\nport {port}\nfrom {user}\ntls on\ntls_starttls " + pick(service, submission, "on", "off") +
		"\ntls_trust_file ca.pem\nauth " + lower(mechanism) + "\nuser {user}\n"
	switch mechanism {
	case "EXTERNAL":
		rc += "tls_cert_file alice.pem\ntls_key_file alice.pem\n"
	case "OAUTHBEARER":
		rc += "passwordeval \"echo {token}\"\n"
	default:
		rc += "password {password}\n"
	}
	return recipe{files: []file{{"msmtprc", rc}}, command: "msmtp --file=msmtprc {to} < message.eml"}
}

// muttTLS are the lines of a muttrc about TLS.
const muttTLS = "set ssl_ca_certificates_file = ca.pem\nset ssl_force_tls = yes\n"

func muttSends(service, mechanism string) recipe {
	rc := muttTLS + "set from = {user}\nset use_envelope_from = yes\nset hostname = client.example.org\nset copy = no\n" +
		"set smtp_url = \"" + pick(service, submission, "smtp", "smtps") + "://{user%}@{host}:{port}\"\nset smtp_authenticators = " + lower(mechanism) + "\n"
	switch mechanism {
	case "EXTERNAL":
		rc += "set ssl_client_cert = alice.pem\n"
	case "OAUTHBEARER":
		rc += "set smtp_oauth_refresh_command = \"echo {token}\"\n"
	default:
		rc += "set smtp_pass = \"{password}\"\n"
	}
	return recipe{files: []file{{"muttrc", rc}}, command: "mutt -n -F muttrc -H message.eml </dev/null"}
}

func smtplibSends(service, mechanism string) recipe {
	text := "import smtplib, ssl\n\ncontext = ssl.create_default_context(cafile=\"ca.pem\")\n"
	if mechanism == "EXTERNAL" {
		text += "context.load_cert_chain(\"alice.pem\")\n"
	}
	if service == submission {
		text += "with smtplib.SMTP(\"{host}\", {port}) as c:\n    c.starttls(context=context)\n"
	} else {
		text += "with smtplib.SMTP_SSL(\"{host}\", {port}, context=context) as c:\n"
	}
	text += "    c.ehlo()\n"
	switch mechanism {
	case "EXTERNAL":
		text += "    c.auth(\"EXTERNAL\", lambda challenge=None: \"{user}\")\n"
	case "OAUTHBEARER":
		text += "    c.auth(\"OAUTHBEARER\", lambda challenge=None: \"n,a={user},\\1auth=Bearer {token}\\1\\1\")\n"
	default:
		method := map[string]string{"PLAIN": "auth_plain", "LOGIN": "auth_login", "CRAM-MD5": "auth_cram_md5"}[mechanism]
		text += "    c.user, c.password = \"{user}\", \"{password}\"\n    c.auth(\"" + mechanism + "\", c." + method + ")\n"
	}
	text += "    c.sendmail(\"{user}\", [\"{to}\"], open(\"message.eml\").read())\n"
	return recipe{files: []file{{"send.py", text}}, command: "python3 send.py"}
}

func gsaslSends(_, mechanism string) recipe {
	c := "gsasl --smtp --connect={host}:{port} --starttls --x509-ca-file=ca.pem --mechanism=" + mechanism
	if mechanism == "EXTERNAL" {
		c += " --x509-cert-file=alice.pem --x509-key-file=alice.pem --authorization-id={user}"
	} else {
		c += " \\\n  --authentication-id={user} --password={password}"
	}
	if mechanism == "SCRAM-SHA-256" {
		c += " --no-cb"
	}
	return recipe{command: c, typed: append([]step{{"Enter application data", "MAIL FROM:<{user}>"}}, typedMessage[1:]...)}
}

// byHand are the mechanisms that a person can type.
var byHand = []string{"PLAIN", "LOGIN", "EXTERNAL", "OAUTHBEARER"}

var cannotBeTyped = []lack{
	{"CRAM-MD5", "nobody computes it by hand", "", "", ""},
	{"SCRAM-SHA-256", "nobody computes it by hand", "", "", ""},
	{"SCRAM-SHA-256-PLUS", "nobody computes it by hand", "", "", ""},
}

// sClient returns the command line of openssl s_client.
func sClient(service, mechanism string) string {
	c := "openssl s_client -quiet -crlf -CAfile ca.pem -verify_return_error -verify_hostname {host} -connect {host}:{port}"
	if p := map[string]string{submission: "smtp", pop3: "pop3"}[service]; p != "" {
		c += " -starttls " + p
	}
	if mechanism == "EXTERNAL" {
		c += " -cert alice.pem"
	}
	return c
}

// gnutlsCLI returns the command line of gnutls-cli.
func gnutlsCLI(service, mechanism string) string {
	c := "gnutls-cli --crlf --x509cafile=ca.pem --port={port} {host}"
	if p := map[string]string{submission: "smtp", pop3: "pop3"}[service]; p != "" {
		c += " --starttls-proto=" + p
	}
	if mechanism == "EXTERNAL" {
		c += " --x509certfile=alice.pem --x509keyfile=alice.pem"
	}
	return c
}

// typedMail are the lines of a person who sends a message. After STARTTLS there
// is no greeting to wait for.
func typedMail(starttls bool, mechanism string) []step {
	return append(append([]step{{pick2(starttls, "", "220 "), "EHLO client.example.org"}}, typedAuth("250 ", "334 ", mechanism)...), typedMessage...)
}

// typedAuth are the lines of a login by AUTH.
func typedAuth(before, goOn, mechanism string) []step {
	switch mechanism {
	case "LOGIN":
		return []step{{before, "AUTH LOGIN"}, {goOn, "{user64}"}, {goOn, "{password64}"}}
	case "EXTERNAL":
		return []step{{before, "AUTH EXTERNAL {user64}"}}
	case "OAUTHBEARER":
		return []step{{before, "AUTH OAUTHBEARER {bearer64}"}}
	}
	return []step{{before, "AUTH PLAIN {plain64}"}}
}

var typedMessage = []step{
	{"235 ", "MAIL FROM:<{user}>"},
	{"250 ", "RCPT TO:<{to}>"},
	{"250 ", "DATA"},
	{"354 ", "{message}\n."},
	{"250 ", "QUIT"},
}
