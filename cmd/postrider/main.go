// Command postrider is a mail server: it receives mail by SMTP, keeps it, and
// hands it out by POP3. "postrider help" says how.
package main

import (
	"os"

	"postrider/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
