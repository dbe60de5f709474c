package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/dialect"
)

// annotationPages are the pages of a dialect: one with the table of all its annotations, and where they have families,
// one for each family.
func annotationPages(t *dialect.Table, pages map[string]string) error {
	families := map[string][]dialect.Annotation{}
	for _, a := range t.Annotations {
		if a.Family != "" {
			families[a.Family] = append(families[a.Family], a)
		}
	}
	if len(families) == 0 {
		pages[filepath.Join("annotations", t.Name+".md")] = compatibility(t, "..")
		return nil
	}
	folder := filepath.Join("annotations", t.Name)
	pages[filepath.Join(folder, "README.md")] = compatibility(t, "../..")
	for family, entries := range families {
		page, err := familyPage(t, family, entries)
		if err != nil {
			return err
		}
		pages[filepath.Join(folder, fileOf(family))] = page
	}
	return nil
}

// fileOf is the file of a family's page.
func fileOf(family string) string {
	return strings.ToLower(strings.ReplaceAll(family, " ", "-")) + ".md"
}

// compatibility is the table of all annotations of a dialect; docs is the way up to the folder of docs.
func compatibility(t *dialect.Table, docs string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s# Annotations: %s\n\n", generated, t.Name)
	fmt.Fprintf(&b, "Prefixes, the first one found counts: `%s`.\n\n", strings.Join(t.Prefixes, "`, `"))
	fmt.Fprintf(&b, "An annotation that restricts access and cannot be applied closes its routes: they answer 503 "+
		"([P3003](%[1]s/diagnostics/P3003.md), [P3009](%[1]s/diagnostics/P3009.md)).\n\n", docs)
	b.WriteString("| annotation | on | values | support | effect |\n|---|---|---|---|---|\n")
	entries := slices.Clone(t.Annotations)
	slices.SortStableFunc(entries, func(a, b dialect.Annotation) int { return int(a.Support) - int(b.Support) })
	for _, a := range entries {
		key := "`" + a.Key + "`"
		if a.Family != "" {
			key = fmt.Sprintf("[%s](%s#%s)", key, fileOf(a.Family), anchor(a))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", key, a.On, cell(a.Type), support(a), cell(effect(a)))
	}
	return b.String()
}

// support is the level in words.
func support(a dialect.Annotation) string {
	if a.Restricts && (a.Support == dialect.NotYet || a.Support == dialect.Refused) {
		return a.Support.String() + ", closes its routes"
	}
	return a.Support.String()
}

func effect(a dialect.Annotation) string {
	out := a.Doc
	if a.Note != "" && a.Support != dialect.Refused {
		out += " " + a.Note
	}
	return out
}

// cell keeps a | from ending a table's cell.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// heading names an entry on its page; a key that stands on two kinds of object has two headings.
func heading(a dialect.Annotation) string { return fmt.Sprintf("%s (%s)", a.Key, a.On) }

// anchor is what Markdown's usual renderers make of a heading.
func anchor(a dialect.Annotation) string {
	return strings.ToLower(strings.NewReplacer(" ", "-", "(", "", ")", "", ".", "").Replace(heading(a)))
}

func familyPage(t *dialect.Table, family string, entries []dialect.Annotation) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s# %s: %s\n\n", generated, t.Name, family)
	fmt.Fprintf(&b, "[All annotations of the dialect](README.md). Each example is taken from a test case.\n")
	for _, a := range entries {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", heading(a), a.Doc)
		fmt.Fprintf(&b, "Values: %s.\n\nSupport: %s.", a.Type, support(a))
		if a.Note != "" {
			fmt.Fprintf(&b, " %s.", sentence(a.Note))
		}
		b.WriteString("\n")
		if len(a.Aliases) > 0 {
			fmt.Fprintf(&b, "\nAlso written `%s`.\n", strings.Join(a.Aliases, "`, `"))
		}
		if a.Case == "" {
			continue
		}
		example, err := exampleOf(t, a)
		if err != nil {
			return "", err
		}
		b.WriteString("\n" + example)
	}
	return b.String(), nil
}

// sentence begins with a capital letter and has no full stop yet.
func sentence(s string) string {
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".")
}
