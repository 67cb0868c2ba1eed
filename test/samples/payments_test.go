package samples

import (
	"net/netip"
	"testing"
)

// A payment is made twice only if it carries a key, by which its server knows it again.
func TestPaymentsAreNeverMadeTwice(t *testing.T) {
	const keyField, host = "Idempotency-Key", "http://payments.billing"
	up := &answering{}
	called := netip.AddrPortFrom(clusterIP, 80)
	w := start(t, "payments.yaml", called, up.serve(t), nil)
	c := w.client(http1)

	up.script(status(503), status(200))
	ends(t, call(t, c, "POST", host+"/v1/payouts", "1 €"), 503, up, 1)

	up.script(status(503), status(502), status(200))
	for _, r := range ends(t, call(t, c, "POST", host+"/v1/payouts", "1 €", keyField, "mine"), 200, up, 3) {
		if r.header.Get(keyField) != "mine" {
			t.Errorf("an attempt has the key %q", r.header.Get(keyField))
		}
	}

	up.script(status(503), status(200))
	first := ends(t, call(t, c, "POST", host+"/v1/charges", "1 €"), 200, up, 2)
	up.script(status(503), status(200))
	second := ends(t, call(t, c, "POST", host+"/v1/charges", "1 €"), 200, up, 2)
	a, b := first[0].header.Get(keyField), second[0].header.Get(keyField)
	if a == "" || a == b || first[1].header.Get(keyField) != a || second[1].header.Get(keyField) != b {
		t.Errorf("attempts of two charges have the keys %q, %q and %q, %q", a, first[1].header.Get(keyField), b, second[1].header.Get(keyField))
	}
	up.script(status(200))
	if r := ends(t, call(t, c, "POST", host+"/v1/charges", "1 €", keyField, "mine"), 200, up, 1); r[0].header.Get(keyField) != "mine" {
		t.Errorf("the application's key became %q", r[0].header.Get(keyField))
	}

	up.script(status(503), status(200))
	ends(t, call(t, c, "POST", host+"/v1/refunds", "1 €", keyField, "mine"), 503, up, 1)

	// What was never sent may be: the pod's first connection to the server is refused.
	fresh := start(t, "payments.yaml", called, w.server, nil)
	fresh.refuse.Store(1)
	up.script(status(200))
	ends(t, call(t, fresh.client(http1), "POST", host+"/v1/payouts", "1 €"), 200, up, 1)
	if n := fresh.dials.Load(); n != 2 {
		t.Errorf("%d connections were tried", n)
	}
}
