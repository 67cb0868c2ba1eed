package differential

import (
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// The differences that must remain. Each has a row in docs/concepts/differences.md.

// versionRaised: an answer of HTTP/1.0 is forwarded as one of HTTP/1.1.
var versionRaised = difference{id: "answers-are-http-1.1", adjust: func(o *observation) {
	o.replace("client", func(l string) string { return strings.Replace(l, "answer HTTP/1.0", "answer HTTP/1.1", 1) })
}}

// stays: where the cluster IP was called and a server ends a connection, the client's stays: the next request goes to whoever is left.
var stays = difference{id: "client-connections-outlive-servers", kinds: []kind{service, serviceHTTP, dryRun(service), via(v1alpha1.ProtocolHTTP)}, adjust: func(o *observation) {
	o.replace("client", func(l string) string {
		if l == "is ended" || l == "is reset" {
			return "stays connected"
		}
		return l
	})
	delete(o.spans, "everything") // it takes a while to see that nothing happens
}}

// cutIsReset: an answer that ends before its announced end reaches the client with a reset behind it.
var cutIsReset = difference{id: "cut-answers-are-reset", adjust: func(o *observation) {
	o.replace("client", func(l string) string { return strings.Replace(l, "then end", "then reset", 1) })
}}

// cutHead: a head that is never finished is answered with 502.
var cutHead = answered("reset")

// answered: where a connection would have broken before an answer, HTTP clients get an answer that says so. GET is tried as often as
// policies say.
func answered(why string) difference {
	return difference{id: "failures-are-answers", adjust: func(o *observation) {
		for actor, lines := range o.actors {
			if !strings.HasPrefix(actor, "client") || len(lines) == 0 {
				continue
			}
			last := lines[len(lines)-1]
			if last != "then end" && last != "then reset" && !strings.HasPrefix(last, "cannot connect") {
				continue
			}
			lines = lines[:len(lines)-1]
			if n := len(lines); n > 0 && strings.HasPrefix(lines[n-1], "hears ") {
				lines = lines[:n-1]
			}
			o.actors[actor] = append(lines, refusal(why)...)
		}
	}}
}

// unreadable: an answer that has no meaning is answered with 502, whatever a client would have made of it.
var unreadable = difference{id: "failures-are-answers", adjust: func(o *observation) { o.actors["client"] = refusal("protocol") }}

// refusal is what clients see of an answer by fairlead.
func refusal(why string) []string {
	status, body := "502 Bad Gateway", "fairlead: "+why+"\n"
	return []string{
		"answer HTTP/1.1 " + status + " | fairlead-reason: " + why + " | Content-Type: text/plain; charset=utf-8 | " + length(len(body)),
		"body " + show([]byte(body)),
	}
}

// h2cOffer: an offer to go on in HTTP/2 without TLS is not passed on.
var h2cOffer = difference{id: "h2c-offers-end-here", adjust: func(o *observation) {
	o.replace("server", func(l string) string {
		l = strings.Replace(l, " | Upgrade: h2c", "", 1)
		return strings.Replace(l, " | HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "", 1)
	})
}}

// unasked: what a server says unasked on an idle connection, such as 408, reaches nobody; only its end does.
var unasked = difference{id: "unasked-answers-end-here", adjust: func(o *observation) {
	o.replace("client", func(l string) string {
		if l == `hears "H" when nothing should come` {
			return "is ended"
		}
		return l
	})
}}

// repeated: a request that may be repeated, on a connection that had been kept, is sent once more on a fresh one when the kept one ends
// without an answer.
var repeated = difference{id: "kept-connections-that-fail-are-replaced", adjust: func(o *observation) {
	for actor, lines := range o.actors {
		if n := len(lines); strings.HasPrefix(actor, "server") && n > 0 {
			o.actors[actor] = append(lines, lines[n-1])
		}
	}
}}

// refused: a request that cannot be read in one way only is answered with 400 and never forwarded (RFC 9112).
func refused(status int) difference {
	return difference{id: "malformed-requests-are-refused", adjust: func(o *observation) {
		const body = "fairlead: malformed_request\n"
		for actor := range o.actors {
			delete(o.actors, actor)
		}
		o.actors["client"] = []string{
			"answer HTTP/1.1 " + statusLine[status] + " | fairlead-reason: malformed_request | Content-Type: text/plain; charset=utf-8 | " + length(len(body)),
			"body " + show([]byte(body)),
		}
	}}
}

var statusLine = map[int]string{400: "400 Bad Request", 501: "501 Not Implemented"}

// lengthsFolded: several Content-Length fields that agree are forwarded as one (RFC 9110 section 8.6).
var lengthsFolded = difference{id: "equal-lengths-are-one", adjust: func(o *observation) {
	o.replace("server", func(l string) string {
		return strings.Replace(l, "Content-Length: 3 | Content-Length: 3", "Content-Length: 3", 1)
	})
}}

// hopByHop: what speaks of the connection ends at the connection's end (RFC 9110 section 7.6.1).
var hopByHop = difference{id: "hop-by-hop-fields", adjust: func(o *observation) {
	o.replace("server", func(l string) string {
		for _, field := range []string{`Connection: keep-alive, X-Mine\r\n`, `X-Mine: for the next\r\n`, `Keep-Alive: timeout=5\r\n`, `Proxy-Connection: keep-alive\r\n`} {
			l = strings.Replace(l, field, "", 1)
		}
		return strings.Replace(l, " | X-Mine: for the next", "", 1)
	})
}}

// upgradeDropped: an Upgrade that Connection does not name is none (RFC 9110 section 7.8).
var upgradeDropped = difference{id: "hop-by-hop-fields", adjust: func(o *observation) {
	o.replace("server", func(l string) string { return strings.Replace(l, " | Upgrade: websocket", "", 1) })
}}

// teDropped: transfer codings are between neighbours (RFC 9110 section 10.1.4).
var teDropped = difference{id: "hop-by-hop-fields", adjust: func(o *observation) {
	o.replace("server", func(l string) string { return strings.Replace(l, " | TE: gzip", "", 1) })
}}

// connectedThenReset: a redirected connection is accepted before the server is known to be there. When it is not, the client's is reset.
var connectedThenReset = difference{id: "accepted-before-connected", adjust: func(o *observation) {
	o.replace("client", func(l string) string {
		if strings.HasPrefix(l, "cannot connect: ") {
			return "then reset"
		}
		return l
	})
}}

// connectedThenSilence: likewise where nothing answers, as long as the client waits.
var connectedThenSilence = difference{id: "accepted-before-connected", adjust: func(o *observation) {
	o.replace("client", func(l string) string { return strings.Replace(l, "cannot connect: silence", "then silence", 1) })
}}

// refusedCall: a call to a closed port is answered.
func refusedCall(actor string) difference {
	return difference{id: "failures-are-answers", adjust: func(o *observation) { o.actors[actor] = refusal("connect_failure") }}
}

// versionRaisedFor is versionRaised as programs show it.
var versionRaisedFor = difference{id: versionRaised.id, adjust: func(o *observation) {
	o.replace("program", func(l string) string { return strings.Replace(l, "prints HTTP/1.0 ", "prints HTTP/1.1 ", 1) })
}}

// fewerConnects: a client connects less often where a server's end is not passed on.
var fewerConnects = difference{id: stays.id, kinds: []kind{service}, adjust: func(o *observation) {
	n := 0
	o.replace("program", func(l string) string {
		if !strings.Contains(l, "connects 1") {
			return l
		}
		if n++; n == 2 {
			return strings.Replace(l, "connects 1", "connects 0", 1)
		}
		return l
	})
}}

// cutForCurl is cutIsReset as curl says it.
var cutForCurl = difference{id: cutIsReset.id, adjust: func(o *observation) {
	o.replace("program", func(l string) string {
		l = strings.Replace(l, "curl: (18) transfer closed with 96 bytes remaining to read", "curl: (56) Recv failure: Connection reset by peer", 1)
		return strings.Replace(l, "exits with 18", "exits with 56", 1)
	})
}}

// h2cOfCurl and h2cOfJava are h2cOffer as these clients make it.
var (
	h2cOfCurl = difference{id: h2cOffer.id, adjust: withoutH2C}
	h2cOfJava = difference{id: h2cOffer.id, adjust: withoutH2C}
)

func withoutH2C(o *observation) {
	o.replace("server", func(l string) string {
		fields := strings.Split(l, " | ")
		kept := fields[:0]
		for _, f := range fields {
			if f != "Upgrade: h2c" && !strings.HasPrefix(f, "HTTP2-Settings: ") {
				kept = append(kept, f)
			}
		}
		return strings.Join(kept, " | ")
	})
}

// probeSucceeds is connectedThenReset as nc -z sees it.
// Whether it sees the reset is up to who is faster.
var probeSucceeds = difference{id: connectedThenReset.id, excuse: func(direct, governed *observation) {
	if slices.Equal(direct.actors["program"], []string{"exits with 1"}) && slices.Equal(governed.actors["program"], []string{"exits with 0"}) {
		governed.actors["program"] = direct.actors["program"]
	}
}}

// expectationEnds: a final answer to a client that still waits for 100 Continue ends both connections.
var expectationEnds = difference{id: "final-answers-end-expectations", adjust: func(o *observation) {
	o.actors["client"] = append(o.actors["client"][:2], "then end")
	server := o.actors["server 0"][:1]
	if strings.Contains(server[0], "PUT /up ") {
		server = append(server, `a part of the body "", then end`)
	}
	o.actors["server 0"] = server
}}

// trailerDropped: fields that Connection names are for the neighbour in trailers, too.
var trailerDropped = difference{id: "hop-by-hop-fields", adjust: func(o *observation) {
	o.actors["server 0"] = slices.DeleteFunc(o.actors["server 0"], func(l string) bool { return l == "trailer X-Mine: 1" })
}}

// h2cAmongOthers: of several offers the others are passed on.
var h2cAmongOthers = difference{id: h2cOffer.id, adjust: func(o *observation) {
	o.replace("server", func(l string) string {
		return strings.Replace(l, "Upgrade: websocket, h2c | HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "Upgrade: websocket", 1)
	})
}}

// otherAddressRefused and otherAddressSilent: a client whose connection to the first address of a name is accepted does not go on to the
// next one, so it learns what became of the first.
var (
	otherAddressRefused = difference{id: "first-address-decides", adjust: func(o *observation) {
		const body = "fairlead: connect_failure"
		delete(o.actors, "server 0")
		o.actors["program"] = []string{"prints HTTP/1.1 502 Bad Gateway", "prints fairlead-reason: connect_failure",
			"prints Content-Type: text/plain; charset=utf-8", "prints " + length(len(body)+1), "prints " + body, "exits with 0"}
	}}
	otherAddressSilent = difference{id: otherAddressRefused.id, adjust: func(o *observation) {
		delete(o.actors, "server 0")
		o.actors["program"] = []string{"prints curl: (28) Operation timed out after after a while with 0 bytes received", "exits with 28"}
		o.spans["everything"] += 3 * time.Second
	}}
)

// brokenByFlush: when something in the pod removes the agent's rules, the kernel forgets the connections that were redirected.
var brokenByFlush = difference{id: "flushes-in-the-pod", adjust: func(o *observation) {
	client, server := o.actors["client"], o.actors["server 0"]
	o.actors["client"] = append([]string{client[0], client[1], "then reset"}, client[4:]...)
	o.actors["server 0"] = []string{server[0], server[2]}
}}

// stalledByFlush: when something in the pod has the kernel forget connections, those on which the server speaks next go on after a while.
var stalledByFlush = difference{id: brokenByFlush.id, adjust: func(o *observation) { o.spans["everything"] += 1500 * time.Millisecond }}

// boundLate: a socket bound to an interface cannot be redirected to the loopback; its second attempt goes direct.
var boundLate = difference{id: "bound-sockets-connect-late", adjust: func(o *observation) { o.spans["everything"] += time.Second }}

// mayGoNoFurther and countedDown: Max-Forwards of OPTIONS and TRACE counts every recipient; who gets 0 answers.
var (
	mayGoNoFurther = difference{id: "max-forwards-counts", adjust: func(o *observation) {
		delete(o.actors, "server 0")
		o.actors["client"] = []string{"answer HTTP/1.1 200 OK | Content-Length: 0", `body ""`}
	}}
	countedDown = difference{id: mayGoNoFurther.id, adjust: func(o *observation) {
		o.replace("server", func(l string) string { return strings.Replace(l, "Max-Forwards: 3", "Max-Forwards: 2", 1) })
	}}
)
