//go:build e2e

package e2e

// collectors are the clients that collect mail.
var collectors = []client{
	{
		name: "curl", denies: []string{"Login denied", "Authentication failed"},
		services:   []string{pop3, pop3s},
		mechanisms: []string{"APOP", "PLAIN", "LOGIN", "CRAM-MD5", "EXTERNAL", "OAUTHBEARER"},
		recipe:     curlCollects,
		shown:      []login{{pop3s, "PLAIN"}, {pop3, "PLAIN"}, {pop3s, "APOP"}, {pop3s, "OAUTHBEARER"}},
		lacks: []lack{
			{"USER", "curl 7.88 takes AUTH where the server has it", "", "", ""},
			{"SCRAM-SHA-256", "Debian's curl is built without GNU SASL", "curl --version", "Features: ", "gsasl"},
			{"SCRAM-SHA-256-PLUS", "curl has no channel binding for SASL", "", "", ""},
		},
	},
	{
		name: "fetchmail", denies: []string{"Authorization failure"},
		services:   []string{pop3, pop3s},
		mechanisms: []string{"USER", "APOP", "CRAM-MD5"},
		recipe:     fetchmailCollects,
		shown:      []login{{pop3s, "USER"}, {pop3, "USER"}, {pop3s, "APOP"}},
		lacks: []lack{
			{"PLAIN", "fetchmail has USER in its place", "", "", ""},
			{"LOGIN", "fetchmail has USER in its place", "", "", ""},
			{"SCRAM-SHA-256", "fetchmail 6.4 does not know it", fetchmailTries + "scram-sha-256 > rc; chmod 600 rc; fetchmail -f rc", "syntax error", ""},
			{"SCRAM-SHA-256-PLUS", "fetchmail 6.4 does not know it", "", "", ""},
			{"EXTERNAL", "fetchmail 6.4 has it for IMAP only", "", "", ""},
			{"OAUTHBEARER", "fetchmail 6.4 does not know it", fetchmailTries + "oauthbearer > rc; chmod 600 rc; fetchmail -f rc", "syntax error", ""},
		},
	},
	{
		name: "getmail6", denies: []string{"the name or the password is wrong"},
		services:   []string{pop3s},
		mechanisms: []string{"USER", "APOP"},
		recipe:     getmailCollects,
		shown:      []login{{pop3s, "USER"}, {pop3s, "APOP"}},
		lacks:      append([]lack{{pop3, "getmail has no STLS", "", "", ""}}, noAUTH("getmail")...),
	},
	{
		name: "mpop", denies: []string{"authentication failed"},
		services:   []string{pop3, pop3s},
		mechanisms: []string{"USER", "APOP", "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "EXTERNAL", "OAUTHBEARER"},
		recipe:     mpopCollects,
		shown:      []login{{pop3s, "SCRAM-SHA-256"}, {pop3, "PLAIN"}},
		lacks: []lack{
			{"SCRAM-SHA-256-PLUS", "mpop 1.4.18 does not know it", "mpop --auth=scram-sha-256-plus --version", "invalid argument scram-sha-256-plus", ""},
		},
	},
	{
		name: "mutt", denies: []string{"uthentication failed", "Login failed"},
		services:   []string{pop3, pop3s},
		mechanisms: []string{"USER", "APOP", "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "EXTERNAL", "OAUTHBEARER"},
		recipe:     muttCollects,
		shown:      []login{{pop3s, "SCRAM-SHA-256"}, {pop3, "USER"}},
		note:       muttNote,
		lacks: []lack{
			{"SCRAM-SHA-256-PLUS", "mutt gives GNU SASL no channel binding", "", "", ""},
		},
	},
	{
		name: "Python poplib", denies: []string{"error_proto"},
		services:   []string{pop3, pop3s},
		mechanisms: []string{"USER", "APOP"},
		recipe:     poplibCollects,
		shown:      []login{{pop3s, "USER"}, {pop3, "USER"}},
		lacks:      noAUTH("poplib"),
	},
	{
		name: "openssl s_client", denies: []string{"-ERR [AUTH]", badToken},
		services:   []string{pop3, pop3s},
		mechanisms: append([]string{"USER"}, byHand...),
		recipe: func(service, mechanism string) recipe {
			return recipe{command: sClient(service, mechanism), typed: typedCollect(service == pop3, mechanism)}
		},
		shown: []login{{pop3s, "USER"}, {pop3, "PLAIN"}},
		lacks: append([]lack{{"APOP", "nobody computes it by hand", "", "", ""}}, cannotBeTyped...),
	},
	{
		name: "gnutls-cli", denies: []string{"-ERR [AUTH]", badToken},
		services:   []string{pop3, pop3s},
		mechanisms: append([]string{"USER"}, byHand...),
		recipe: func(service, mechanism string) recipe {
			return recipe{command: gnutlsCLI(service, mechanism), typed: typedCollect(service == pop3, mechanism)}
		},
		shown: []login{{pop3s, "USER"}},
		lacks: append([]lack{{"APOP", "nobody computes it by hand", "", "", ""}}, cannotBeTyped...),
	},
}

const fetchmailTries = "echo poll x protocol pop3 auth "

// noAUTH are the mechanisms that a client without POP3's AUTH does not have.
func noAUTH(name string) (lacks []lack) {
	for _, m := range []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "EXTERNAL", "OAUTHBEARER"} {
		lacks = append(lacks, lack{m, name + " has no AUTH (RFC 5034) for POP3", "", "", ""})
	}
	return lacks
}

func curlCollects(service, mechanism string) recipe {
	c := "curl -sS --cacert ca.pem " + pick(service, pop3, "--ssl-reqd pop3", "pop3s") + "://{host}:{port}/1 "
	switch mechanism {
	case "EXTERNAL":
		c += "--cert alice.pem --login-options AUTH=EXTERNAL --user {user}:"
	case "OAUTHBEARER":
		c += "--oauth2-bearer {token} \\\n  --login-options AUTH=OAUTHBEARER --user {user}:"
	case "APOP":
		c += "--login-options AUTH=+APOP --user '{user}:{password}'"
	default:
		c += "--login-options AUTH=" + mechanism + " --user '{user}:{password}'"
	}
	return recipe{command: c + " --output " + inbox}
}

func fetchmailCollects(service, mechanism string) recipe {
	rc := "poll {host} service {port} protocol " + map[string]string{
		"USER": "pop3 auth password", "APOP": "apop", "CRAM-MD5": "pop3 auth cram-md5",
	}[mechanism] + "\n  user \"{user}\" password \"{password}\"\n  " + pick(service, pop3, "sslproto tls1.2+", "ssl") +
		" sslcertck sslcertfile ca.pem\n  mda \"cat >> " + inbox + "\"\n"
	return recipe{files: []file{{"fetchmailrc", rc}}, command: "fetchmail --fetchmailrc fetchmailrc --nodetach --nosyslog --pidfile pid --idfile ids"}
}

func getmailCollects(_, mechanism string) recipe {
	rc := "[retriever]\ntype = SimplePOP3SSLRetriever\nserver = {host}\nport = {port}\nusername = {user}\npassword = {password}\nca_certs = ca.pem\n"
	if mechanism == "APOP" {
		rc += "use_apop = true\n"
	}
	rc += "\n[destination]\ntype = MDA_external\npath = /bin/sh\narguments = (\"-c\", \"cat >> " + inbox + "\")\nallow_root_commands = true\n\n[options]\ndelete = true\n"
	return recipe{files: []file{{"getmailrc", rc}}, command: "getmail --getmaildir . --rcfile getmailrc"}
}

func mpopCollects(service, mechanism string) recipe {
	rc := "account default\nhost {host}\nport {port}\ntls on\ntls_starttls " + pick(service, pop3, "on", "off") + "\ntls_trust_file ca.pem\nauth " +
		lower(mechanism) + "\nuser {user}\ndelivery mbox " + inbox + "\nuidls_file uidls\n"
	switch mechanism {
	case "EXTERNAL":
		rc += "tls_cert_file alice.pem\ntls_key_file alice.pem\n"
	case "OAUTHBEARER":
		rc += "passwordeval \"echo {token}\"\n"
	default:
		rc += "password {password}\n"
	}
	return recipe{files: []file{{"mpoprc", rc}}, command: "mpop --file=mpoprc"}
}

func muttCollects(service, mechanism string) recipe {
	rc := muttTLS + "set folder = .\nset mbox_type = mbox\nset confirmcreate = no\nset confirmappend = no\nset sleep_time = 0\n" +
		"set pop_user = {user}\nset pop_authenticators = " + pick2(mechanism == "USER", "user", lower(mechanism)) + "\n"
	switch mechanism {
	case "EXTERNAL":
		rc += "set ssl_client_cert = alice.pem\n"
	case "OAUTHBEARER":
		rc += "set pop_oauth_refresh_command = \"echo {token}\"\n"
	default:
		rc += "set pop_pass = \"{password}\"\n"
	}
	return recipe{
		files: []file{{"muttrc", rc}},
		command: "script -qec \"stty rows 40 cols 120; mutt -n -F muttrc -f " + pick(service, pop3, "pop", "pops") +
			"://{host}:{port}/ \\\n  -e 'push <copy-message><kill-line>" + inbox + "<enter><exit>'\" /dev/null",
	}
}

func poplibCollects(service, mechanism string) recipe {
	text := "import poplib, ssl\n\ncontext = ssl.create_default_context(cafile=\"ca.pem\")\n"
	if service == pop3 {
		text += "c = poplib.POP3(\"{host}\", {port})\nc.stls(context=context)\n"
	} else {
		text += "c = poplib.POP3_SSL(\"{host}\", {port}, context=context)\n"
	}
	if mechanism == "APOP" {
		text += "c.apop(\"{user}\", \"{password}\")\n"
	} else {
		text += "c.user(\"{user}\")\nc.pass_(\"{password}\")\n"
	}
	text += "open(\"" + inbox + "\", \"wb\").write(b\"\\n\".join(c.retr(1)[1] + [b\"\"]))\nc.dele(1)\nc.quit()\n"
	return recipe{files: []file{{"collect.py", text}}, command: "python3 collect.py"}
}

// typedCollect are the lines of a person who collects a message.
func typedCollect(stls bool, mechanism string) []step {
	var first []step
	before := "+OK"
	if stls { // s_client has its own first line, without an end
		first, before = []step{{"", "CAPA"}}, ".\r"
	}
	login := []step{{before, "USER {user}"}, {"+OK", "PASS {password}"}}
	if mechanism != "USER" {
		login = typedAuth(before, "+ ", mechanism)
	}
	return append(append(first, login...), step{"+OK", "RETR 1"}, step{".\r", "DELE 1"}, step{"+OK", "QUIT"})
}
