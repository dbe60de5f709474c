package inspect

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/controlplane/options"
)

// settingsPage is by what the objects are served; postern diff reads manifests by it.
type settingsPage struct{ options.Elsewhere }

// settingRow is a flag as a page shows it.
type settingRow struct{ Name, Value, Usage string }

func (settingsPage) Title() string { return "Settings" }

// Rows are the flags by name.
func (p settingsPage) Rows() []settingRow {
	usage := options.Usage()
	var out []settingRow
	for _, name := range slices.Sorted(maps.Keys(p.Flags)) {
		out = append(out, settingRow{Name: "--" + name, Value: strings.Join(p.Flags[name], ", "), Usage: usage[name]})
	}
	return out
}

func settingsData(v View, _ *http.Request) (any, error) {
	return settingsPage{v.options.Elsewhere(v.World)}, nil
}
