package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// operator is one command of Envoy's substitution format strings that the Go data plane implements.
type operator int

const (
	literal operator = iota
	authority
	path
	directPeer
	responseCode
	hostWithoutPort
	pathWithoutQuery
	schemeSaid
)

// operators are the known commands by their text between two percent signs. The CEL expressions are these constants:
// Envoy has no operator for a host without its port nor for a choice, and the Go data plane has no CEL.
var operators = map[string]operator{
	"REQ(:AUTHORITY)": authority,
	"REQ(:PATH)":      path,
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": directPeer,
	"RESPONSE_CODE": responseCode,
	"PATH(NQ)":      pathWithoutQuery,
	`CEL(request.headers['x-forwarded-proto'] == 'https' ? 'https' : 'http')`: schemeSaid,
	`CEL(re.extract(request.host, '^(.*?)(:[0-9]+)?$', '\\1'))`:               hostWithoutPort,
}

// hostAndPort is the expression in that CEL command.
var hostAndPort = regexp.MustCompile(`^(.*?)(:[0-9]+)?$`)

// Values are what a format string may speak of.
type Values struct {
	// Authority is the request's :authority as the client sent it; Path its path and query, normalised.
	Authority, Path string
	// DirectPeer is the address of the connection's other end, without its port.
	DirectPeer string
	// ForwardedProto is the request's X-Forwarded-Proto.
	ForwardedProto string
	// Status is the response's status code; 0 before there is one.
	Status int
}

// A Format is a parsed substitution format string, as of Envoy's "access log format strings" page.
type Format struct {
	parts []part
}

type part struct {
	operator operator
	text     string // of a literal
}

// parseFormat reads a format string. Any operator that is not in the table is an error that names it.
func parseFormat(text, at string) (Format, error) {
	var f Format
	for text != "" {
		before, rest, found := strings.Cut(text, "%")
		if before != "" {
			f.parts = append(f.parts, part{text: before})
		}
		if !found {
			return f, nil
		}
		command, after, closed := cutCommand(rest)
		if !closed {
			return Format{}, fmt.Errorf("%s: a %% that opens no operator", at)
		}
		if command == "" {
			f.parts = append(f.parts, part{text: "%"})
		} else if op, known := operators[command]; known {
			f.parts = append(f.parts, part{operator: op})
		} else {
			return Format{}, fmt.Errorf("%s: operator %%%s%% is not supported by the Go data plane", at, command)
		}
		text = after
	}
	return f, nil
}

// cutCommand splits at the percent sign that closes a command; one within parentheses does not close it.
func cutCommand(text string) (command, after string, closed bool) {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '(':
			depth++
		case ')':
			depth--
		case '%':
			if depth <= 0 {
				return text[:i], text[i+1:], true
			}
		}
	}
	return "", "", false
}

// Render gives the text for one request.
func (f Format) Render(v Values) string {
	if len(f.parts) == 1 && f.parts[0].operator == literal {
		return f.parts[0].text
	}
	var b strings.Builder
	for _, p := range f.parts {
		switch p.operator {
		case literal:
			b.WriteString(p.text)
		case authority:
			b.WriteString(v.Authority)
		case path:
			b.WriteString(v.Path)
		case pathWithoutQuery:
			bare, _, _ := strings.Cut(v.Path, "?")
			b.WriteString(bare)
		case schemeSaid:
			if v.ForwardedProto == "https" {
				b.WriteString("https")
			} else {
				b.WriteString("http")
			}
		case directPeer:
			b.WriteString(v.DirectPeer)
		case responseCode:
			b.WriteString(strconv.Itoa(v.Status))
		case hostWithoutPort:
			b.WriteString(hostAndPort.FindStringSubmatch(v.Authority)[1])
		}
	}
	return b.String()
}
