package grpc

import (
	"testing"
	"time"
)

func TestTimeouts(t *testing.T) {
	for give, want := range map[string]time.Duration{
		"1H": time.Hour, "2M": 2 * time.Minute, "3S": 3 * time.Second, "4m": 4 * time.Millisecond, "5u": 5 * time.Microsecond, "6n": 6,
		"00000100S": 100 * time.Second,
		"99999999n": 99_999_999, "99999999S": 99_999_999 * time.Second,
		"99999999M": longest / time.Minute * time.Minute, "99999999H": longest, // some centuries overflow
		"0S": 1, "00000000H": 1, // it has run out
		"": 0, "S": 0, "1": 0, "10": 0, "1s": 0, "1h": 0, "1D": 0, "123456789S": 0, "100000000n": 0,
		"-1S": 0, "+1S": 0, " 1S": 0, "1 S": 0, "1S ": 0, "1.5S": 0, "1e3S": 0, "1_0S": 0, "0x1S": 0, "٣S": 0, "1SS": 0,
	} {
		if got := Timeout([]byte(give)); got != want {
			t.Errorf("%q leaves %v, want %v", give, got, want)
		}
	}
}

func TestTimeoutsAreWritten(t *testing.T) {
	for give, want := range map[time.Duration]string{
		-1: "1n", 0: "1n", 1: "1n", 99_999_999: "99999999n", 100_000_000: "100000u", 1_234_567_899: "1234567u",
		100 * time.Second: "100000m", 28 * time.Hour: "100800S", 99_999_999 * time.Second: "99999999S",
		100_000_000 * time.Second: "1666666M", longest: "52560000M",
		1<<63 - 1: "2562047H", // which in minutes take nine digits
	} {
		got := string(AppendTimeout([]byte("x"), give))
		if got != "x"+want {
			t.Errorf("%v is written %q, want %q", give, got[1:], want)
		}
	}
}

// What is forwarded is valid, never more than what is left, and less by no more than a unit's part of what its digits can say.
func FuzzTimeout(f *testing.F) {
	for _, seed := range []string{"1H", "99999999M", "0n", "12345678u", "x"} {
		f.Add([]byte(seed), int64(7))
	}
	f.Fuzz(func(t *testing.T, value []byte, less int64) {
		d := Timeout(value)
		if d < 0 || d > longest {
			t.Fatalf("%q leaves %v", value, d)
		}
		for _, left := range []time.Duration{d, d - time.Duration(uint64(less)%uint64(max(d, 1))), time.Duration(less)} {
			out := AppendTimeout(nil, left)
			again := Timeout(out)
			switch {
			case again <= 0:
				t.Fatalf("%v is written %q, which is not valid", left, out)
			case again > max(left, 1):
				t.Fatalf("%v is written %q, which is more", left, out)
			case left > 0 && left < longest && float64(again) < 0.99998*float64(left):
				t.Fatalf("%v is written %q, which is less than it need be", left, out)
			}
		}
	})
}

func TestTimeoutsTakeNoMemory(t *testing.T) {
	buf, value := make([]byte, 0, 16), []byte("1500m")
	if n := testing.AllocsPerRun(100, func() { buf = AppendTimeout(buf[:0], Timeout(value)) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
