package model

import (
	"fmt"
	"slices"
	"strings"
)

// AccessLog is how requests are written to the data plane's standard output.
type AccessLog int

const (
	// AccessLogOff writes none.
	AccessLogOff AccessLog = iota
	// AccessLogText writes a line of words for each.
	AccessLogText
	// AccessLogJSON writes a line of JSON.
	AccessLogJSON
)

// AccessLogs are the words for the values.
var AccessLogs = []string{"off", "text", "json"}

// ParseAccessLog reads a word; the error lists them.
func ParseAccessLog(word string) (AccessLog, error) {
	i := slices.Index(AccessLogs, word)
	if i < 0 {
		return 0, fmt.Errorf("write one of %s", strings.Join(AccessLogs, ", "))
	}
	return AccessLog(i), nil
}
