package config

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/anypb"
)

// An ErrorPage is a page of a cluster that takes the place of answers with the statuses from From to To.
type ErrorPage struct {
	From, To int
	// Cluster is asked for Path, in which {status} stands for the answer's, and sees Host.
	Cluster, Host, Path string
}

func decodeErrorPages(out *Filters, body *anypb.Any, at string) (err error) {
	out.ErrorPages, err = decodePages(ErrorPagesScript, body, at)
	return err
}

func decodeErrorBody(out *Filters, body *anypb.Any, at string) (err error) {
	out.emptied, err = decodePages(ErrorBodyScript, body, at)
	return err
}

// decodePages reads the filter context of error-pages-v2 and error-body-v1, which is the same.
func decodePages(script string, body *anypb.Any, at string) ([]ErrorPage, error) {
	context, at, err := runScript(script, body, at)
	if err != nil {
		return nil, err
	}
	list := context["pages"].GetListValue().GetValues()
	if len(context) != 1 || len(list) == 0 {
		return nil, only(at, "filter_context", "one list, pages,")
	}
	var out []ErrorPage
	for i, v := range list {
		fields := v.GetStructValue().GetFields()
		p := ErrorPage{
			From: int(fields["from"].GetNumberValue()), To: int(fields["to"].GetNumberValue()),
			Cluster: fields["cluster"].GetStringValue(), Host: fields["host"].GetStringValue(), Path: fields["path"].GetStringValue(),
		}
		if len(fields) != 5 || p.From < 100 || p.To < p.From || p.To > 999 || p.Cluster == "" || p.Host == "" || !strings.HasPrefix(p.Path, "/") {
			return nil, only(at, fmt.Sprintf("filter_context.pages[%d]", i), "from and to, of 100 to 999, cluster, host and path")
		}
		out = append(out, p)
	}
	return out, nil
}
