package up

import (
	"context"
	"time"

	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/model"
)

// watchCertificate reads --tls-cert-dir again when it changes.
func (r *runner) watchCertificate(ctx context.Context, changes chan<- change) error {
	dir := r.config.Options.TLSCertDir
	if dir == "" {
		return nil
	}
	return options.CertificateWatch{
		Dir: dir, Last: r.settings.Resolve.DefaultCertificate,
		OnChange: func(c *model.Certificate) {
			send(ctx, changes, change{what: "the certificate in " + dir, at: time.Now(), apply: func(s *translator.Settings) {
				s.Resolve.DefaultCertificate = c
			}})
		},
		OnFault: func(err error) { r.report.say("the certificate before stays served: %v", err) },
	}.Run(ctx)
}
