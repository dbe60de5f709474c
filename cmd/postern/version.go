package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/dataplane/envoyproc"
)

// version is what this binary was built of; the JSON form of postern version.
type version struct {
	// Version is the module's; Go makes one of the commit for what is built from a working tree, or "(devel)".
	Version string `json:"version"`
	// Revision is the commit, empty where it is not known; Modified says that the tree had changes beyond it.
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	// Envoy is the version that this one is tested with.
	Envoy string `json:"envoy"`
}

func versionCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "version",
		Short: "Say which Postern this is, and which Envoy it is tested with",
		Args:  onlyFlags,
		RunE: func(c *cobra.Command, _ []string) error {
			v := builtOf()
			if output == formatJSON {
				return printJSON(c.OutOrStdout(), v)
			}
			_, err := fmt.Fprintln(c.OutOrStdout(), v)
			return err
		},
	}
	outputFlag(c, &output, formatText, formatJSON)
	return c
}

func builtOf() version {
	v := version{Version: "(unknown)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Envoy: envoyproc.Version}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

// String is the version in one line.
func (v version) String() string {
	return fmt.Sprintf("postern %s, %s %s, tested with Envoy %s", v.Version, v.Go, v.Platform, v.Envoy)
}
