// Package health answers whether the process lives and is ready, and carries the servers that are not for the traffic of
// users: health, metrics, pprof.
package health

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// Check is one reason to be well or not.
type Check struct {
	// Name is what ?verbose and ?exclude call it.
	Name string
	// Probe gives what is wrong, as a sentence that anyone may read. It must not block, since the kubelet gives a second.
	Probe func() error
}

// ping shows no more than that requests are answered.
var ping = Check{Name: "ping", Probe: func() error { return nil }}

// Checks are those of an endpoint each. None of Live may depend on another process: a restart would not mend that. None of
// Ready may depend on who the leader is, for every replica serves.
type Checks struct {
	Live, Ready []Check
}

// Handler answers /livez and /readyz, and /healthz like /livez, as Kubernetes' own components do: 200 or 500, with a line
// for each check if one failed or ?verbose is given; ?exclude=NAME leaves one out, /readyz/NAME asks for one only.
// https://kubernetes.io/docs/reference/using-api/health-checks/
func Handler(c Checks) http.Handler {
	mux := http.NewServeMux()
	for name, checks := range map[string][]Check{"healthz": c.Live, "livez": c.Live, "readyz": c.Ready} {
		checks = slices.Concat([]Check{ping}, checks)
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) { answer(w, r, name, checks) })
		for _, check := range checks {
			mux.HandleFunc("GET /"+name+"/"+check.Name, func(w http.ResponseWriter, r *http.Request) {
				answer(w, r, name+"/"+check.Name, []Check{check})
			})
		}
	}
	return mux
}

// answer asks every check, also those after a failed one: who reads it wants all of it.
func answer(w http.ResponseWriter, r *http.Request, name string, checks []Check) {
	excluded := r.URL.Query()["exclude"]
	var lines bytes.Buffer
	failed := false
	for _, check := range checks {
		if slices.Contains(excluded, check.Name) {
			fmt.Fprintf(&lines, "[+]%s excluded: ok\n", check.Name)
		} else if err := check.Probe(); err != nil {
			failed = true
			fmt.Fprintf(&lines, "[-]%s failed: %v\n", check.Name, err)
		} else {
			fmt.Fprintf(&lines, "[+]%s ok\n", check.Name)
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-cache, private")
	_, verbose := r.URL.Query()["verbose"]
	switch {
	case failed:
		fmt.Fprintf(&lines, "%s check failed\n", name)
		w.WriteHeader(http.StatusInternalServerError)
	case verbose:
		fmt.Fprintf(&lines, "%s check passed\n", name)
	default:
		lines.Reset()
		lines.WriteString("ok")
	}
	// A failed write is the asker's loss alone.
	_, _ = w.Write(lines.Bytes())
}

// Until is a check that fails for reason until done says otherwise.
func Until(name, reason string, done func() bool) Check {
	failure := errors.New(reason)
	return Check{Name: name, Probe: func() error {
		if done() {
			return nil
		}
		return failure
	}}
}
