package inspect

// webPages are the pages for people; each is JSON too.
func webPages() []page {
	return []page{
		{pattern: "/{$}", template: "overview", data: overviewData},
		{pattern: "/search", template: "search", data: searchData},
		{pattern: "/hosts", template: "hosts", data: hostsData},
		{pattern: "/host", template: "host", data: hostData},
		{pattern: "/ingresses", template: "ingresses", data: ingressesData},
		{pattern: "/ingress", template: "ingress", data: ingressData},
		{pattern: "/services", template: "services", data: servicesData},
		{pattern: "/service", template: "service", data: serviceData},
		{pattern: "/certificates", template: "certificates", data: certificatesData},
		{pattern: "/certificate", template: "certificate", data: certificateData},
		{pattern: "/proxy", template: "proxy", data: proxyData},
		{pattern: "/diagnostics", template: "diagnostics", data: diagnosticsData},
		{pattern: "/report", template: "report", data: reportData, view: reportHTML},
		{pattern: reportFilePath, file: reportFile},
		{pattern: "/diff", template: "diff", data: diffData},
		{pattern: "/settings", template: "settings", data: settingsData},
	}
}
