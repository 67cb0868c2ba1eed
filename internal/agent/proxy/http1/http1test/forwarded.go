package http1test

import (
	"regexp"
	"strings"
)

// Forwarded returns m as the next recipient must understand it: what ends at the proxy is gone (RFC 9110 section 7.6.1), and
// nothing else has changed. What the proxy itself says about its connection is not part of it; see StripConnection.
func (m Message) Forwarded(to Request) Message {
	connection := m.Values("connection")
	out := m
	out.Fields, out.Trailers = nil, nil
	response := m.Status > 0
	upgrade := m.upgradeOffer(response)
	keepUpgrade := upgrade != "" && m.Minor == 1 && listed(connection, "upgrade")
	if response {
		keepUpgrade = m.Status == 101 || m.Status == 426 && m.has("upgrade") && listed(connection, "upgrade")
		out.Minor = 1
	}
	host := ""
	if parts := absolute.FindStringSubmatch(m.Target); parts != nil && m.has("host") && !strings.EqualFold(parts[1], m.Values("host")[0]) {
		host = parts[1] // RFC 9112 section 3.2.2
	}
	length, te := false, false
	unchunk := m.has("transfer-encoding") && to.Minor == 0 && response
	for _, f := range m.Fields {
		drop := false
		switch name := strings.ToLower(f.Name); name {
		case "connection", "keep-alive", "proxy-connection", "http2-settings":
			drop = true
		case "upgrade":
			if !response {
				f.Value = withoutH2C(f.Value)
			}
			drop = !keepUpgrade || f.Value == ""
		case "te":
			drop = te || !listed(m.Values("te"), "trailers")
			f.Value, te = "trailers", true
		case "host":
			drop = host != "" || response && listed(connection, name)
		case "content-length":
			drop = length || m.noFraming(to)
			length = true
		case "transfer-encoding":
			drop = unchunk || m.noFraming(to)
		case "trailer":
			drop = unchunk || listed(connection, name)
		case "max-forwards":
			drop = listed(connection, name)
			if m.Method == "OPTIONS" || m.Method == "TRACE" {
				f.Value = oneLess(f.Value)
			}
		default:
			drop = listed(connection, name)
		}
		if !drop {
			out.Fields = append(out.Fields, f)
		}
	}
	if host != "" {
		out.Fields = append(out.Fields, Field{"Host", host})
	}
	for _, f := range m.Trailers {
		if !listed(connection, f.Name) {
			out.Trailers = append(out.Trailers, f)
		}
	}
	if unchunk {
		out.UntilClose = out.UntilClose || out.Chunked
		out.Chunked, out.Trailers = false, nil
	}
	return out
}

// noFraming says whether the response is one in which neither Content-Length nor Transfer-Encoding has a place.
func (m *Message) noFraming(to Request) bool {
	return m.Status > 0 && (m.Status < 200 || m.Status == 204 || to.Method == "CONNECT" && m.Status/100 == 2)
}

func (m *Message) upgradeOffer(response bool) string {
	all := strings.Join(m.Values("upgrade"), ",")
	if response {
		return all
	}
	return withoutH2C(all)
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
