# postrider: make run, make test. CONTRIBUTING.md says what the others are for.

GO      ?= go
GOFLAGS += -buildvcs=false
export GOFLAGS GOTOOLCHAIN = local

DATA     ?= data
FUZZTIME ?= 3s
ROUNDS   ?= 100
RUN      ?= .

# What the tests with real clients need, as Debian's packages.
CLIENTS = curl fetchmail gcc getmail6 gnutls-bin gsasl libc6-dev libnet-ssleay-perl \
	mpop msmtp mutt netcat-openbsd openssl python3 python3-authres \
	python3-dkim python3-nacl swaks telnet testssl.sh

# What the tests with real servers need; the libraries are Exim's.
SERVERS = ldnsutils libgnutls-dane0 libidn12 libnsl2 libpcre2-8-0 nsd postfix unbound

.PHONY: run build test lint unit race cross fuzz torture torture-short e2e bench docs clients clients-page clean

run: build
	bin/postrider demo --data $(DATA)

# In a checkout that git can read, the program knows its revision.
build:
	CGO_ENABLED=0 $(GO) build -trimpath \
		-buildvcs=$$(git rev-parse -q --verify HEAD >/dev/null 2>&1 && echo true || echo false) \
		-o bin/postrider ./cmd/postrider

# Everything, in the order in which a failure is cheapest to find.
test: clients lint cross unit race fuzz torture-short e2e

lint:
	@bad=$$($(GO) tool -modfile=tools/go.mod gofumpt -l cmd e2e internal); \
		[ -z "$$bad" ] || { echo "not formatted (gofumpt -w): $$bad"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags e2e ./e2e
	$(GO) tool -modfile=tools/go.mod staticcheck ./...

# The program and its tests compile for the systems we name.
cross:
	@for t in linux/arm64 darwin/arm64 windows/amd64; do \
		echo "vet $$t"; \
		GOOS=$${t%/*} GOARCH=$${t#*/} CGO_ENABLED=0 $(GO) build -o /dev/null ./... || exit 1; \
	done

unit:
	CGO_ENABLED=0 $(GO) test ./...

race:
	CGO_ENABLED=1 $(GO) test -race -timeout 20m ./...

# A short run of every fuzz target; FUZZTIME=10m for a long one. Go 1.26 can take the
# end of that time for a failure (golang/go#75804): alone, with no input, it is none.
fuzz:
	@log=$$(mktemp) && trap 'rm -f "$$log"' EXIT && \
	for p in $$($(GO) list ./internal/...); do \
		d=$$($(GO) list -f '{{.Dir}}' $$p); \
		for f in $$(cat $$d/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p'); do \
			echo "fuzz $$p $$f"; \
			$(GO) test -run='^$$' -fuzz="^$$f\$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=10x $$p >"$$log" 2>&1; \
			failed=$$?; cat "$$log"; \
			[ $$failed = 0 ] || { ! grep -q 'Failing input' "$$log" && \
				[ "$$(sed -n '/^ *--- FAIL/{n;p;}' "$$log")" = '    context deadline exceeded' ]; } || exit 1; \
		done; \
	done

# The ledgers: clients write down each 250 while the server is killed at random, and
# so does a host that its queue goes to.
torture: build
	$(GO) test -tags e2e -count=1 -timeout 60m -run TestTorture ./e2e -rounds $(ROUNDS)

torture-short: build
	$(GO) test -tags e2e -count=1 -timeout 10m -run TestTorture ./e2e -rounds 5

# Real clients over TCP against the real binary.
e2e: build
	$(GO) test -tags e2e -count=1 -timeout 15m -skip TestTorture ./e2e

bench:
	$(GO) test -run='^$$' -bench=$(RUN) -benchmem ./...

# Pages that are made from the tables in the code; the tests hold them to it.
docs:
	$(GO) test -run 'TestPage' ./internal/cli -update
	$(GO) test -run 'TestReferencePage' ./internal/config -update
	$(GO) test -run 'TestPage' ./internal/dsn -update

# docs/CLIENTS.md, from what the clients pass.
clients-page: build
	$(GO) test -tags e2e -count=1 -timeout 5m -run TestClientsLogIn ./e2e -update

# Installed only where something is missing, and only as root.
clients:
	@e2e/install.sh $(CLIENTS) $(SERVERS)

clean:
	rm -rf bin
