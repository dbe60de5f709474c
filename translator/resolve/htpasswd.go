package resolve

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/postern-gateway/postern/translator/model"
)

// bcryptCostMax is the highest cost of a bcrypt hash: one check takes a data plane about a second.
const bcryptCostMax = 14

// The forms of a hash of htpasswd. What is of none would be refused by the library that checks passwords, which shows
// the hash in its error.
var (
	shaHash    = regexp.MustCompile(`^\{SHA\}[A-Za-z0-9+/]{27}=$`)
	md5Hash    = regexp.MustCompile(`^\$(?:apr1|1)\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22}$`)
	bcryptHash = regexp.MustCompile(`^\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}$`)
	digestHash = regexp.MustCompile(`^[0-9a-fA-F]{32}$`)
)

// ReadUsers reads the users of a file of htpasswd. Its faults are lines whose users are left out, each with its number and in
// words that show nothing of it.
func ReadUsers(text []byte) (users []model.User, faults []string) {
	users, broken := readUsers(model.AuthBasic, text)
	for _, line := range broken {
		faults = append(faults, fmt.Sprintf("line %d: %s", line.number, line.fault))
	}
	return users, faults
}

// brokenLine is a line, by its number from 1, that keeps its user out, and why, in words that show nothing of it.
type brokenLine struct {
	number int
	fault  string
}

// readUsers reads the lines of htpasswd, or of htdigest for digest. Empty lines and comments are none. The last line of a
// user counts, as in Traefik 1.7 (middlewares/auth/parser.go).
func readUsers(kind model.AuthKind, text []byte) ([]model.User, []brokenLine) {
	read := readBasicLine
	if kind == model.AuthDigest {
		read = readDigestLine
	}
	byName := map[string]model.User{}
	var broken []brokenLine
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line := strings.TrimSpace(string(line))
		if line == "" || line[0] == '#' {
			continue
		}
		user, fault := read(strings.Split(line, ":"))
		if fault == "" && (user.Name == "" || !httpguts.ValidHeaderFieldValue(user.Name) || !utf8.ValidString(user.Name)) {
			fault = "its user has no name, or one that no header can carry"
		}
		if fault != "" {
			broken = append(broken, brokenLine{number, fault})
			continue
		}
		byName[user.Name] = user
	}
	var users []model.User
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		users = append(users, byName[name])
	}
	return users, broken
}

func readBasicLine(fields []string) (model.User, string) {
	if len(fields) != 2 {
		return model.User{}, "it is not USER:HASH"
	}
	user := model.User{Name: fields[0], Hash: model.Sensitive(fields[1])}
	if match := bcryptHash.FindStringSubmatch(fields[1]); match != nil {
		if cost, err := strconv.Atoi(match[1]); err != nil || cost < 4 || cost > bcryptCostMax {
			return user, fmt.Sprintf("its cost of bcrypt is none from 4 to %d", bcryptCostMax)
		}
		return user, ""
	}
	if !shaHash.MatchString(fields[1]) && !md5Hash.MatchString(fields[1]) {
		return user, "its hash is none of {SHA}, $apr1$, $1$ and bcrypt"
	}
	return user, ""
}

func readDigestLine(fields []string) (model.User, string) {
	switch {
	case len(fields) != 3:
		return model.User{}, "it is not USER:" + model.AuthRealm + ":HASH"
	case fields[1] != model.AuthRealm:
		return model.User{}, "its realm is not " + model.AuthRealm
	case !digestHash.MatchString(fields[2]):
		return model.User{}, "its hash is not 32 hexadecimal digits"
	}
	return model.User{Name: fields[0], Hash: model.Sensitive(strings.ToLower(fields[2]))}, ""
}
