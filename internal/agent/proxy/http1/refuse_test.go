package http1

import (
	"net/http"
	"strings"
	"testing"
)

// Everything here must be refused however it arrives, with nothing of it forwarded.
func TestRule27_RefusedRequests(t *testing.T) {
	const start = "POST / HTTP/1.1\r\nHost: a\r\n"
	chunked := func(body string) string { return start + "Transfer-Encoding: chunked\r\n\r\n" + body }
	for name, tc := range map[string]struct {
		in   string
		want *Error
	}{
		"content length and transfer encoding": {start + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ErrLengthAndCoding},
		"transfer encoding and content length": {start + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", ErrLengthAndCoding},
		"content lengths differ":               {start + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", ErrLengthsDiffer},
		"content lengths differ by zero":       {start + "Content-Length: 0\r\nContent-Length: 4\r\n\r\nabcd", ErrLengthsDiffer},
		"content length list":                  {start + "Content-Length: 3, 3\r\n\r\nabc", ErrContentLength},
		"content length with plus":             {start + "Content-Length: +3\r\n\r\nabc", ErrContentLength},
		"content length with minus":            {start + "Content-Length: -3\r\n\r\nabc", ErrContentLength},
		"content length with space":            {start + "Content-Length: 1 3\r\n\r\nabc", ErrContentLength},
		"content length in hexadecimal":        {start + "Content-Length: 0x3\r\n\r\nabc", ErrContentLength},
		"content length empty":                 {start + "Content-Length:\r\n\r\n", ErrContentLength},
		"content length overflow":              {start + "Content-Length: 9223372036854775808\r\n\r\n", ErrContentLength},
		"content length large overflow":        {start + "Content-Length: 18446744073709551619\r\n\r\nabc", ErrContentLength},
		"content length in other digits":       {start + "Content-Length: \xd9\xa3\r\n\r\nabc", ErrContentLength},
		"transfer encoding identity":           {start + "Transfer-Encoding: identity\r\n\r\n", ErrCoding},
		"transfer encoding gzip":               {start + "Transfer-Encoding: gzip\r\n\r\n", ErrCoding},
		"transfer encoding not final":          {start + "Transfer-Encoding: chunked, gzip\r\n\r\n", ErrCoding},
		"transfer encoding list":               {start + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", ErrCoding},
		"transfer encoding twice":              {start + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ErrCoding},
		"transfer encoding chunked, chunked":   {start + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", ErrCoding},
		"transfer encoding xchunked":           {start + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", ErrCoding},
		"transfer encoding with parameter":     {start + "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", ErrCoding},
		"transfer encoding quoted":             {start + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", ErrCoding},
		"transfer encoding empty":              {start + "Transfer-Encoding:\r\n\r\n", ErrCoding},
		"transfer encoding with vertical tab":  {start + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", ErrFieldValue},
		"transfer encoding in HTTP/1.0":        {"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ErrCodingVersion},
		"folded line":                          {start + "A: b\r\n c\r\n\r\n", ErrFold},
		"folded line with tab":                 {start + "A: b\r\n\tc\r\n\r\n", ErrFold},
		"folded first line":                    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", ErrFold},
		"bare CR in a value":                   {start + "A: b\rc\r\n\r\n", ErrFieldValue},
		"bare CR before CRLF":                  {start + "A: b\r\r\n\r\n", ErrFieldValue},
		"bare CR in the request line":          {"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"bare CR in a name":                    {start + "A\r: b\r\n\r\n", ErrFieldName},
		"bare LF after a field":                {start + "A: b\n\r\n", ErrBareLF},
		"bare LF after the request line":       {"GET / HTTP/1.1\nHost: a\r\n\r\n", ErrBareLF},
		"bare LF for the empty line":           {start + "A: b\r\n\n", ErrBareLF},
		"bare LF before the request":           {"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", ErrBareLF},
		"space before the colon":               {start + "A : b\r\n\r\n", ErrFieldName},
		"tab before the colon":                 {start + "A\t: b\r\n\r\n", ErrFieldName},
		"space before content length's colon":  {start + "Content-Length : 3\r\n\r\nabc", ErrFieldName},
		"space in a name":                      {start + "A b: c\r\n\r\n", ErrFieldName},
		"no colon":                             {start + "Ab\r\n\r\n", ErrFieldName},
		"empty name":                           {start + ": b\r\n\r\n", ErrFieldName},
		"name above ASCII":                     {start + "\xc3\xa4: b\r\n\r\n", ErrFieldName},
		"name in parentheses":                  {start + "(a): b\r\n\r\n", ErrFieldName},
		"NUL in a value":                       {start + "A: b\x00c\r\n\r\n", ErrFieldValue},
		"NUL in a name":                        {start + "A\x00: b\r\n\r\n", ErrFieldName},
		"NUL in the target":                    {"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"NUL before the request":               {"\x00GET / HTTP/1.1\r\nHost: a\r\n\r\n", ErrMethod},
		"DEL in a value":                       {start + "A: some longer value \x7f here\r\n\r\n", ErrFieldValue},
		"escape in a value":                    {start + "A: some longer value \x1b[0m here\r\n\r\n", ErrFieldValue},
		"two hosts":                            {start + "Host: b\r\n\r\n", ErrHostTwice},
		"the same host twice":                  {start + "Host: a\r\n\r\n", ErrHostTwice},
		"no host":                              {"GET / HTTP/1.1\r\nA: b\r\n\r\n", ErrHostMissing},
		"host list":                            {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", ErrHost},
		"host with path":                       {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", ErrHost},
		"host with user":                       {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", ErrHost},
		"host with space":                      {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", ErrHost},
		"host with a port that is none":        {"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", ErrHost},
		"host with too long a port":            {"GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n", ErrHost},
		"host with two ports":                  {"GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", ErrHost},
		"host with an open bracket":            {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", ErrHost},
		"host with something behind a bracket": {"GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n", ErrHost},
		"two spaces after the method":          {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"two spaces before the version":        {"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"space in the target":                  {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"tab instead of space":                 {"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", ErrRequestLine},
		"space behind the version":             {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", ErrRequestLine},
		"no version":                           {"GET /\r\n\r\n", ErrRequestLine},
		"empty target":                         {"GET  HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"empty target of another version":      {"GET  HTTP/2.0\r\nHost: a\r\n\r\n", ErrRequestLine},
		"no method":                            {" / HTTP/1.1\r\nHost: a\r\n\r\n", ErrMethod},
		"no target":                            {"GET HTTP/1.1\r\nHost: a\r\n\r\n", ErrRequestLine},
		"method only":                          {"GET\r\n\r\n", ErrRequestLine},
		"malformed method":                     {"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", ErrMethod},
		"space first":                          {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", ErrMethod},
		"lower case version":                   {"GET / http/1.1\r\nHost: a\r\n\r\n", ErrRequestLine},
		"version with more digits":             {"GET / HTTP/1.10\r\nHost: a\r\n\r\n", ErrRequestLine},
		"relative target":                      {"GET a HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"asterisk without OPTIONS":             {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"absolute target without authority":    {"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"absolute target with user":            {"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"absolute target with bad scheme":      {"GET 1http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"CONNECT to a path":                    {"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"CONNECT without port":                 {"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"CONNECT with an empty port":           {"CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"CONNECT to port 0":                    {"CONNECT a:0 HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"CONNECT to port 00000":                {"CONNECT a:00000 HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"CONNECT to port 65536":                {"CONNECT a:65536 HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"CONNECT to port 99999":                {"CONNECT a:99999 HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"CONNECT to a port alone":              {"CONNECT :80 HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"CONNECT to an address without port":   {"CONNECT [::1] HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"CONNECT to an address, empty port":    {"CONNECT [::1]: HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		"CONNECT with a body":                  {"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 1\r\n\r\nx", ErrConnectBody},
		"CONNECT with a chunked body":          {"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ErrConnectBody},
		"connection with a malformed option":   {start + "Connection: a b\r\n\r\n", ErrConnectionList},
		"three empty lines first":              {"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", ErrRequestLine},
		"chunk size missing":                   {chunked("\r\n\r\n"), ErrChunkSize},
		"chunk size in decimal words":          {chunked("three\r\nabc\r\n0\r\n\r\n"), ErrChunkSize},
		"chunk size with prefix":               {chunked("0x3\r\nabc\r\n0\r\n\r\n"), ErrChunkSize},
		"chunk size with plus":                 {chunked("+3\r\nabc\r\n0\r\n\r\n"), ErrChunkSize},
		"chunk size with minus":                {chunked("-3\r\nabc\r\n0\r\n\r\n"), ErrChunkSize},
		"chunk size after space":               {chunked(" 3\r\nabc\r\n0\r\n\r\n"), ErrChunkSize},
		"chunk size before space":              {chunked("3 \r\nabc\r\n0\r\n\r\n"), ErrChunkSize},
		"chunk size with underscore":           {chunked("1_0\r\nabc\r\n0\r\n\r\n"), ErrChunkSize},
		"chunk size overflow":                  {chunked("10000000000000003\r\nabc\r\n0\r\n\r\n"), ErrChunkSize},
		"chunk size overflow by one":           {chunked("8000000000000000\r\nabc\r\n0\r\n\r\n"), ErrChunkSize},
		"chunk size overflow behind zeros":     {chunked("00010000000000000003\r\nabc\r\n0\r\n\r\n"), ErrChunkSize},
		"chunk size ended by LF":               {chunked("3\nabc\r\n0\r\n\r\n"), ErrBareLF},
		"chunk size ended by CR":               {chunked("3\rabc\r\n0\r\n\r\n"), ErrChunkSize},
		"chunk extension with bare CR":         {chunked("3;a\rb\r\nabc\r\n0\r\n\r\n"), ErrChunkSize},
		"chunk extension with NUL":             {chunked("3;a\x00b\r\nabc\r\n0\r\n\r\n"), ErrChunkSize},
		"chunk extension after space":          {chunked("3 ;a\r\nabc\r\n0\r\n\r\n"), ErrChunkSize},
		"chunk extension without semicolon":    {chunked("3 a\r\nabc\r\n0\r\n\r\n"), ErrChunkSize},
		"chunk size before tab and extension":  {chunked("3\t;a\r\nabc\r\n0\r\n\r\n"), ErrChunkSize},
		"chunk extension without end":          {chunked("3;" + strings.Repeat("a", MaxChunkLine)), ErrChunkLine},
		"chunk extension too long":             {chunked("3;" + strings.Repeat("a", MaxChunkLine-1) + "\r\nabc\r\n0\r\n\r\n"), ErrChunkLine},
		"chunk longer than its size":           {chunked("3\r\nabcd\r\n0\r\n\r\n"), ErrChunkEnd},
		"chunk shorter than its size":          {chunked("4\r\nabc\r\n0\r\n\r\n"), ErrChunkEnd},
		"chunk ended by LF":                    {chunked("3\r\nabc\n0\r\n\r\n"), ErrChunkEnd},
		"last chunk ended by LF":               {chunked("0\n\r\n"), ErrBareLF},
		"body ended by LF":                     {chunked("0\r\n\n"), ErrBareLF},
		"trailer with content length":          {chunked("0\r\nContent-Length: 3\r\n\r\n"), ErrTrailer},
		"trailer with transfer encoding":       {chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n"), ErrTrailer},
		"trailer with host":                    {chunked("0\r\nHost: b\r\n\r\n"), ErrTrailer},
		"trailer with connection":              {chunked("0\r\nConnection: close\r\n\r\n"), ErrTrailer},
		"trailer with TE":                      {chunked("0\r\nTE: trailers\r\n\r\n"), ErrTrailer},
		"trailer with upgrade settings":        {chunked("0\r\nHTTP2-Settings: x\r\n\r\n"), ErrTrailer},
		"trailer folded":                       {chunked("0\r\nA: b\r\n c\r\n\r\n"), ErrFold},
		"trailer with space before the colon":  {chunked("0\r\nA : b\r\n\r\n"), ErrFieldName},
		"trailer with NUL":                     {chunked("0\r\nA: \x00\r\n\r\n"), ErrFieldValue},
		"version above ours":                   {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", ErrVersion},
		"another major version":                {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", ErrVersion},
	} {
		t.Run(name, func(t *testing.T) {
			for how, src := range splits(tc.in) {
				got := forwardRequests(src, Forward{})
				if len(got) != 1 || !is(got[0].err, tc.want) {
					t.Fatalf("%s: got %+v, want the error %q", how, got, tc.want)
				}
				// Of a body that turns bad, what was good before may have gone; nothing else.
				if wire := got[0].wire; wire != "" && !(strings.HasPrefix(tc.in, chunked("")) && strings.HasPrefix(tc.in, wire)) {
					t.Errorf("%s: %q was forwarded", how, wire)
				}
			}
			if tc.want != ErrVersion && tc.want.Status != http.StatusBadRequest {
				t.Errorf("status %d, want 400", tc.want.Status)
			}
		})
	}
}

func is(err error, want *Error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return len(joined.Unwrap()) == 1 && is(joined.Unwrap()[0], want)
	}
	return err == want
}

func TestRule27_RefusedResponses(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, tc := range map[string]struct {
		in   string
		want *Error
	}{
		"content lengths differ":       {ok + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", ErrLengthsDiffer},
		"malformed content length":     {ok + "Content-Length: 3x\r\n\r\nabc", ErrContentLength},
		"other coding":                 {ok + "Transfer-Encoding: gzip\r\n\r\n", ErrCoding},
		"coding behind chunked":        {ok + "Transfer-Encoding: chunked, gzip\r\n\r\n", ErrCoding},
		"coding before chunked":        {ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", ErrCoding},
		"lengths in one field differ":  {ok + "Content-Length: 3, 4\r\n\r\nabcd", ErrContentLength},
		"lengths with a second colon":  {ok + "Content-Length: :3, :3\r\n\r\nabc", ErrContentLength},
		"length with a sign":           {ok + "Content-Length: +3\r\n\r\nabc", ErrContentLength},
		"length cut by a bare CR":      {ok + "Content-Length: 1\r5\r\n\r\nabc", ErrContentLength},
		"length folded":                {ok + "Content-Length: 1\r\n 5\r\n\r\nabc", ErrContentLength},
		"no colon":                     {ok + "hello\r\n", ErrFieldName},
		"no colon behind a bare LF":    {"HTTP/1.1 200 OK\nhello\n", ErrFieldName},
		"tab in a name":                {ok + "A\tb: c\r\n\r\n", ErrFieldName},
		"bare CR in a name":            {ok + "A\r: c\r\n\r\n", ErrFieldName},
		"two digits":                   {"HTTP/1.1 20 OK\r\n\r\n", ErrStatusLine},
		"four digits":                  {"HTTP/1.1 2000 OK\r\n\r\n", ErrStatusLine},
		"letters":                      {"HTTP/1.1 abc OK\r\n\r\n", ErrStatusLine},
		"status below 100":             {"HTTP/1.1 099 OK\r\n\r\n", ErrStatusLine},
		"another protocol":             {"SSH-2.0-OpenSSH_9.2\r\n\r\n", ErrStatusLine},
		"another version":              {"HTTP/3.0 200 OK\r\n\r\n", ErrVersion},
		"a mail server's banner":       {"220 mail.example ESMTP\r\n", ErrStatusLine},
		"a banner with bare LF":        {"220 mail.example ESMTP\n", ErrStatusLine},
		"another version with bare LF": {"HTTP/0.9 200 OK\n", ErrVersion},
		"three empty lines first":      {"\r\n\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", ErrStatusLine},
		"four empty lines of LF":       {"\n\n\n\nHTTP/1.1 200 OK\r\n\r\n", ErrStatusLine},
		"switching to h2c":             {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", ErrSwitch},
		"switching unasked":            {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", ErrSwitch},
		"bad chunk size":               {ok + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", ErrChunkSize},
		"chunk longer than its size":   {ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", ErrChunkEnd},
		"chunk size with prefix":       {ok + "Transfer-Encoding: chunked\r\n\r\n0x5\r\n", ErrChunkSize},
		"chunk size before a word":     {ok + "Transfer-Encoding: chunked\r\n\r\n5 a\r\n", ErrChunkSize},
		"chunk size overflow":          {ok + "Transfer-Encoding: chunked\r\n\r\n8000000000000000\r\n", ErrChunkSize},
		"bare CR in a chunk line":      {ok + "Transfer-Encoding: chunked\r\n\r\n5\r\r\n", ErrChunkSize},
		"malformed trailer":            {ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nno colon\r\n\r\n", ErrFieldName},
	} {
		t.Run(name, func(t *testing.T) {
			for how, src := range splits(tc.in) {
				got := forwardResponses(src, Forward{}, RequestInfo{})
				if len(got) != 1 || !is(got[0].err, tc.want) {
					t.Errorf("%s: got %+v, want the error %q", how, got, tc.want)
				}
			}
		})
	}
}

func TestRule30_Limits(t *testing.T) {
	const start = "GET / HTTP/1.1\r\nHost: a\r\n"
	longLine := func(target int) string {
		return "GET /" + strings.Repeat("a", target-len("GET / HTTP/1.1")) + " HTTP/1.1\r\nHost: a\r\n\r\n"
	}
	block := func(size int) string { // a header block of size bytes, the empty line not counted
		return start + "A: " + strings.Repeat("b", size-len("Host: a\r\nA: \r\n")) + "\r\n\r\n"
	}
	many := start + strings.Repeat("A: b\r\n", MaxFields/6) + "\r\n"
	for name, tc := range map[string]struct {
		in   string
		want *Error
	}{
		"longest request line":              {longLine(MaxLine), nil},
		"request line too long":             {longLine(MaxLine + 1), ErrLineTooLong},
		"endless request line":              {"GET /" + strings.Repeat("a", 2*MaxLine), ErrLineTooLong},
		"endless line without a space":      {strings.Repeat("a", 2*MaxLine), ErrLineTooLong},
		"largest header block":              {block(MaxFields), nil},
		"header block too large":            {block(MaxFields + 1), ErrHeadTooLarge},
		"endless field":                     {start + "A: " + strings.Repeat("b", 2*MaxFields), ErrHeadTooLarge},
		"too many small fields":             {many, ErrHeadTooLarge},
		"trailer section too large":         {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("A: b\r\n", MaxFields/6+1) + "\r\n", ErrHeadTooLarge},
		"largest line and largest fields":   {"GET /" + strings.Repeat("a", MaxLine-len("GET / HTTP/1.1")) + " HTTP/1.1\r\n" + block(MaxFields)[len("GET / HTTP/1.1\r\n"):], nil},
		"the largest header with a body":    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\nA: " + strings.Repeat("b", 65000) + "\r\n\r\n" + strings.Repeat("x", 200000), nil},
		"the largest header, body chunked":  {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nA: " + strings.Repeat("b", 65000) + "\r\n\r\n" + strings.Repeat("1000\r\n"+strings.Repeat("x", 4096)+"\r\n", 30) + "0\r\n\r\n", nil},
		"a small header with a large body":  {start[:len(start)-2] + "\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("x", 300000), nil},
		"a large trailer behind small head": {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: " + strings.Repeat("b", 65000) + "\r\n\r\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			for how, src := range splits(tc.in) {
				got := forwardRequests(src, Forward{})
				switch {
				case len(got) != 1:
					t.Errorf("%s: %d messages", how, len(got))
				case tc.want == nil && (got[0].err != nil || got[0].wire != tc.in):
					t.Errorf("%s: forwarded %d of %d bytes, error %v", how, len(got[0].wire), len(tc.in), got[0].err)
				case tc.want != nil && !is(got[0].err, tc.want):
					t.Errorf("%s: got %v, want %v", how, got[0].err, tc.want)
				}
			}
		})
	}
	if ErrLineTooLong.Status != http.StatusRequestURITooLong || ErrHeadTooLarge.Status != http.StatusRequestHeaderFieldsTooLarge {
		t.Error("limits do not answer 414 and 431")
	}
}
