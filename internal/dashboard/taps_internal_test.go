package dashboard

import (
	"context"
	"net/url"
	"testing"

	"fairlead.dev/fairlead/internal/liveapi"
)

// tapSource hands on what reads its calls.
type tapSource struct {
	Source
	began chan func(*liveapi.TapLine)
}

func (s *tapSource) Calls(ctx context.Context, _ url.Values, each func(*liveapi.TapLine), _ func([]string)) error {
	s.began <- each
	<-ctx.Done()
	return nil
}

// A viewer that takes nothing loses what is beyond its bound, and knows how much; one that takes what comes loses nothing by it.
func TestASlowViewerLosesItsOwnCalls(t *testing.T) {
	s := &tapSource{began: make(chan func(*liveapi.TapLine), 1)}
	all := newTaps(s)
	of, slow := all.join(t.Context(), nil)
	_, quick := all.join(t.Context(), nil)
	each := <-s.began
	const sent = heldCalls + 88
	took := 0
	for range sent {
		each(&liveapi.TapLine{Node: "n1", Call: &liveapi.Call{Pod: "shop/a"}})
		calls, dropped, _ := quick.take()
		if took += len(calls); len(dropped) > 0 {
			t.Fatalf("the quick viewer lost %v", dropped)
		}
	}
	calls, dropped, _ := slow.take()
	if took != sent || len(calls) != heldCalls || dropped["n1"] != sent-heldCalls {
		t.Errorf("of %d calls the quick viewer took %d, and the slow one %d, and lost %v", sent, took, len(calls), dropped)
	}
	all.leave(of, slow)
	all.leave(of, quick)
	if len(all.open) > 0 {
		t.Errorf("%d taps are open still", len(all.open))
	}
}
