// How the cost of a night grows with the number of deals, as one SVG of three panels for docs/performance.md.
import { LineChart } from 'echarts/charts'
import { GridComponent, LegendComponent, TitleComponent } from 'echarts/components'
import { init, use } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'

use([LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer])

export interface Point {
  readonly deals: number
  readonly series: string
  readonly calls: number
  readonly minimum: number
  readonly mb: number
  readonly cpu: number
}

const COLOURS = ['#0b6e4f', '#7fb069', '#1f4e8c', '#7aa6da']
const PANELS = [
  { title: 'Calls (dotted: the minimum)', of: 'calls', scale: 'log' },
  { title: 'Peak memory, MB', of: 'mb', scale: 'value' },
  { title: 'CPU seconds', of: 'cpu', scale: 'log' },
] as const

export function picture(points: readonly Point[]): string {
  const names = [...new Set(points.map(({ series }) => series))].toSorted()
  const sizes = points.map(({ deals }) => deals)
  const drawing = init(null, null, { renderer: 'svg', ssr: true, width: 960, height: 340 })
  const text = { color: '#333', fontSize: 12 }
  const line = (name: string, panel: number, of: 'calls' | 'minimum' | 'mb' | 'cpu') => ({
    ...{ name, type: 'line', xAxisIndex: panel, yAxisIndex: panel, symbolSize: of === 'minimum' ? 0 : 6, silent: true },
    color: COLOURS[names.indexOf(name) % COLOURS.length],
    lineStyle: { width: of === 'minimum' ? 1 : 2, type: of === 'minimum' ? 'dotted' : 'solid' },
    data: points
      .filter(({ series }) => series === name)
      .toSorted((a, b) => a.deals - b.deals)
      .map((point) => [point.deals, Math.max(point[of], 0.1)]),
  })
  try {
    drawing.setOption({
      ...{ animation: false, backgroundColor: '#fff', textStyle: { fontFamily: 'sans-serif' } },
      legend: { bottom: 4, itemGap: 48, textStyle: text, data: names },
      title: PANELS.map(({ title }, n) => ({
        text: title,
        left: `${n * 33 + 2}%`,
        top: 8,
        textStyle: { ...text, fontSize: 13 },
      })),
      grid: PANELS.map((_, n) => ({ left: `${n * 33 + 7}%`, width: '24%', top: 44, bottom: 64 })),
      xAxis: PANELS.map((_, gridIndex) => ({
        ...{ type: 'log', gridIndex, min: Math.min(...sizes), max: Math.max(...sizes), splitLine: { show: false } },
        axisLabel: { ...text, formatter: (n: number) => (n >= 1e6 ? `${n / 1e6} M` : `${n / 1e3} k`) },
      })),
      yAxis: PANELS.map(({ scale }, gridIndex) => ({ type: scale, gridIndex, axisLabel: text })),
      series: PANELS.flatMap(({ of }, panel) =>
        names.flatMap((name) => [line(name, panel, of), ...(of === 'calls' ? [line(name, panel, 'minimum')] : [])]),
      ),
    })
    return drawing
      .renderToSVGString()
      .replace(/<style[\s\S]*?<\/style>/g, '')
      .replace('>', '><title>How calls, memory and CPU of a night grow with the number of deals</title>')
  } finally {
    drawing.dispose()
  }
}
