package options

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Flags are flags by name, each with its values as they would be given; those that take one have one.
type Flags map[string][]string

// machineFlags name files, which another machine does not have.
var machineFlags = []string{"tls-cert-dir", "upstream-ca"}

// Flags are the options as flags, the defaults included.
func (o Options) Flags() Flags {
	var own Options
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	own.Register(fs)
	own = o // which the flags point into
	out := Flags{}
	fs.VisitAll(func(f *pflag.Flag) {
		// A cluster has no --backend.
		if f.Name != "backend" || len(o.Backends) > 0 {
			out[f.Name] = values(f)
		}
	})
	return out
}

func values(f *pflag.Flag) []string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return slices.Clone(list.GetSlice())
	}
	return []string{f.Value.String()}
}

// Usage says what each flag is, by name.
func Usage() map[string]string {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(Options).Register(fs)
	out := map[string]string{}
	fs.VisitAll(func(f *pflag.Flag) { out[f.Name] = f.Usage })
	return out
}

// Adopt sets every flag of a command line that was not given there to what it is elsewhere, but for those that name files.
// It gives those that are other than before, as they would be written. A flag that is not known here is an error, as what
// it means would be left out.
func Adopt(fs *pflag.FlagSet, elsewhere Flags) ([]string, error) {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(elsewhere)) {
		f := fs.Lookup(name)
		switch {
		case f == nil:
			return nil, fmt.Errorf("it has --%s, which is not known here; is it another version of Postern?", name)
		case f.Changed || slices.Contains(machineFlags, name) || slices.Equal(values(f), elsewhere[name]):
			continue
		}
		if err := set(f, elsewhere[name]); err != nil {
			return nil, fmt.Errorf("it has --%s, which is not understood here: %w; is it another version of Postern?", name, err)
		}
		out = append(out, "--"+name+"="+strings.Join(values(f), ","))
	}
	return out, nil
}

func set(f *pflag.Flag, to []string) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.Replace(to)
	}
	if len(to) != 1 {
		return fmt.Errorf("%d values", len(to))
	}
	return f.Value.Set(to[0])
}
