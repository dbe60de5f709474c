package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/up"
)

// completions say what a shell offers as the value of a flag. A flag that is not here offers nothing: most values are
// names and addresses, and the files beside them are no help.
var completions = map[string]cobra.CompletionFunc{
	"filename":            filesNamed("yaml", "yml", "json"),
	"to":                  anyFile,
	"upstream-ca":         anyFile,
	"envoy-path":          anyFile,
	"tls-cert-dir":        folders,
	"data-plane":          words(up.DataPlanes...),
	"traefik-path-prefix": words(options.TraefikPrefixes...),
	"slash-redirect":      words("true", "false"),
	"request":             words("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"),
}

// complete gives every flag of a command its completion, and a command without one for its arguments none.
func complete(c *cobra.Command) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		offered, ok := completions[f.Name]
		if !ok {
			offered = cobra.NoFileCompletions
		}
		if _, own := c.GetFlagCompletionFunc(f.Name); own {
			return
		}
		if err := c.RegisterFlagCompletionFunc(f.Name, offered); err != nil {
			panic(err)
		}
	})
	if c.ValidArgsFunction == nil {
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
}

func words(values ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

func filesNamed(endings ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(endings, cobra.ShellCompDirectiveFilterFileExt)
}

func anyFile(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

func folders(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}
