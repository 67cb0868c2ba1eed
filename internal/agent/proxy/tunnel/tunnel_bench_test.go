package tunnel

import (
	"io"
	"net"
	"sync"
	"testing"
)

// BenchmarkBulk compares a tunnel with the plain io.Copy, which holds pipes while it waits, and with the connection itself.
func BenchmarkBulk(b *testing.B) {
	for name, carry := range map[string]func(inner, outer *net.TCPConn){
		"tunnel": func(inner, outer *net.TCPConn) { _, _ = New(on(inner), on(outer), Options{}).Run() },
		"io.Copy": func(inner, outer *net.TCPConn) {
			var wg sync.WaitGroup
			wg.Go(func() {
				_, _ = io.Copy(outer, inner)
				_ = outer.CloseWrite()
			})
			_, _ = io.Copy(inner, outer)
			wg.Wait()
		},
	} {
		b.Run(name, func(b *testing.B) {
			const piece = 1 << 20
			client, inner := pair(b)
			outer, server := pair(b)
			var wg sync.WaitGroup
			wg.Go(func() { carry(inner, outer) })
			wg.Go(func() {
				buf := make([]byte, 256<<10)
				for {
					if _, err := server.Read(buf); err != nil {
						return
					}
				}
			})
			b.SetBytes(piece)
			buf := make([]byte, piece)
			for b.Loop() {
				if _, err := client.Write(buf); err != nil {
					b.Fatal(err)
				}
			}
			_, _ = client.Close(), server.Close()
			wg.Wait()
		})
	}
}

// BenchmarkPingPong measures small messages both ways.
func BenchmarkPingPong(b *testing.B) {
	client, inner := pair(b)
	outer, server := pair(b)
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = New(on(inner), on(outer), Options{}).Run() })
	wg.Go(func() {
		buf := make([]byte, 100)
		for {
			if _, err := io.ReadFull(server, buf); err != nil {
				return
			}
			if _, err := server.Write(buf); err != nil {
				return
			}
		}
	})
	b.ReportAllocs()
	buf := make([]byte, 100)
	for b.Loop() {
		if _, err := client.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(client, buf); err != nil {
			b.Fatal(err)
		}
	}
	_, _ = client.Close(), server.Close()
	wg.Wait()
}
