package http1test

import (
	"regexp"
	"strings"
)

// Forwarded returns m as the next recipient must understand it: what ends at the proxy is gone (RFC 9110 section 7.6.1), and
// nothing else has changed. What the proxy itself says about its connection is not part of it; see StripConnection.
func (m Message) Forwarded(to Request) Message {
	w := hop{m: m, to: to, connection: m.Values("connection"), response: m.Status > 0}
	w.host = m.hostOfTarget()
	w.unchunk = w.response && m.has("transfer-encoding") && to.Minor == 0
	w.keepUpgrade = m.keepsUpgrade(w.connection)
	out := m
	out.Fields, out.Trailers = nil, nil
	if w.response {
		out.Minor = 1
	}
	for _, f := range m.Fields {
		if w.keeps(&f) {
			out.Fields = append(out.Fields, f)
		}
	}
	if w.host != "" {
		out.Fields = append(out.Fields, Field{"Host", w.host})
	}
	for _, f := range m.Trailers {
		if !listed(w.connection, f.Name) {
			out.Trailers = append(out.Trailers, f)
		}
	}
	if w.unchunk {
		out.UntilClose = out.UntilClose || out.Chunked
		out.Chunked, out.Trailers = false, nil
	}
	return out
}

// hop is a message on its way to the next recipient, field by field.
type hop struct {
	m                              Message
	to                             Request
	connection                     []string // the values of Connection
	host                           string   // that takes the place of the Host field; empty: none
	response, unchunk, keepUpgrade bool
	length, te                     bool // there was such a field before
}

// keeps reports whether a field is forwarded, and changes its value where that has to be.
func (w *hop) keeps(f *Field) bool {
	name := strings.ToLower(f.Name)
	nominated := listed(w.connection, name)
	switch name {
	case "connection", "keep-alive", "proxy-connection", "http2-settings":
		return false
	case "upgrade":
		if !w.response {
			f.Value = withoutH2C(f.Value)
		}
		return w.keepUpgrade && f.Value != ""
	case "te":
		again := w.te
		f.Value, w.te = "trailers", true
		return !again && listed(w.m.Values("te"), "trailers")
	case "host":
		return w.host == "" && !(w.response && nominated)
	case "content-length":
		again := w.length
		w.length = true
		return !again && !w.m.noFraming(w.to)
	case "transfer-encoding":
		return !w.unchunk && !w.m.noFraming(w.to)
	case "trailer":
		return !w.unchunk && !nominated
	case "max-forwards":
		if w.m.Method == "OPTIONS" || w.m.Method == "TRACE" {
			f.Value = oneLess(f.Value)
		}
	}
	return !nominated
}

// hostOfTarget returns the host of an absolute target that is another one than the Host field's (RFC 9112 section 3.2.2).
func (m *Message) hostOfTarget() string {
	if parts := absolute.FindStringSubmatch(m.Target); parts != nil && m.has("host") && !strings.EqualFold(parts[1], m.Values("host")[0]) {
		return parts[1]
	}
	return ""
}

// keepsUpgrade reports whether an offer or a change of protocols goes on.
func (m *Message) keepsUpgrade(connection []string) bool {
	if m.Status > 0 {
		return m.Status == 101 || m.Status == 426 && m.has("upgrade") && listed(connection, "upgrade")
	}
	return withoutH2C(strings.Join(m.Values("upgrade"), ",")) != "" && m.Minor == 1 && listed(connection, "upgrade")
}

// noFraming reports whether the response is one in which neither Content-Length nor Transfer-Encoding has a place.
func (m *Message) noFraming(to Request) bool {
	return m.Status > 0 && (m.Status < 200 || m.Status == 204 || to.Method == "CONNECT" && m.Status/100 == 2)
}

var protocol = regexp.MustCompile(`^` + tchar + `+(/` + tchar + `+)?$`)

var h2c = regexp.MustCompile(`(?i)^(h2c(-.+)?(/.*)?|http/2.*)$`)

// withoutH2C leaves of a list of protocols what may be offered on. A list of which nothing must go keeps its spelling.
func withoutH2C(list string) string {
	var kept []string
	for _, s := range members([]string{list}) {
		if protocol.MatchString(s) && !h2c.MatchString(s) {
			kept = append(kept, s)
		}
	}
	return strings.Join(kept, ", ")
}

func oneLess(digits string) string {
	if digits == "" || strings.Trim(digits, "0123456789") != "" || strings.Trim(digits, "0") == "" {
		return digits
	}
	head := strings.TrimRight(digits, "0")
	less := head[:len(head)-1] + string(head[len(head)-1]-1) + strings.Repeat("9", len(digits)-len(head))
	if len(less) > 1 && less[0] == '0' && digits[0] != '0' {
		less = less[1:]
	}
	return less
}

// StripConnection removes what a proxy says about its own connection, and returns the options said. Upgrade lists are brought
// into one spelling, since they may be taken apart on the way.
func (m Message) StripConnection() (Message, []string) {
	options := members(m.Values("connection"))
	fields := m.Fields
	m.Fields = nil
	for _, f := range fields {
		switch strings.ToLower(f.Name) {
		case "connection":
			continue
		case "upgrade":
			f.Value = strings.Join(members([]string{f.Value}), ", ")
		case "te", "transfer-encoding":
			f.Value = strings.ToLower(f.Value)
		}
		m.Fields = append(m.Fields, f)
	}
	return m, options
}
